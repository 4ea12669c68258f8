"""Manages a Slurm cluster's jobs: `make slurm-…`.

    python -m executors.slurm run [STAGE …]     run stale stages as jobs
    python -m executors.slurm render [STAGE …]  print the scripts that sbatch reads; needs no cluster
    python -m executors.slurm stop STAGE        cancel a stage's jobs

Exit status: the stage's own (0, 3, 75 or a crash's), 130 when interrupted. After a kill, the same command attaches to
what runs.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from executors import parameters, profiles, slurm
from executors.slurm import jobs
from executors.slurm.jobs import Settings
from executors.tracking import graph
from executors.walk import Plan, select
from stages.lib.errors import BAD_INPUT, BadInput


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    parser = argparse.ArgumentParser(
        prog="executors.slurm", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=["run", "render", "stop"])
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    options = parser.parse_args(arguments)
    try:
        settings = jobs.load_settings()
        if options.command == "render":
            return render(options.stages, settings)
        if options.command == "stop":
            return stop(options.stages, settings)
        for line in profiles.refresh():
            print(line, flush=True)
        parameters.check()
        return slurm.run(options.stages)
    except BadInput as error:
        print(f"slurm: {error}", file=sys.stderr)
        return BAD_INPUT


def render(names: Sequence[str], settings: Settings) -> int:
    """Print the scripts of the named stages, or all."""
    for stage in select(graph.load(), names).values():
        plan = Plan(stage.name, stage.inputs, "HEAD", "", {"url": settings.remote or "s3://bucket/path"})
        for part in jobs.parts(stage.name, settings.of(stage.name)):
            print(f"# {'-' * 40} {part.name(plan)}\n{jobs.render(plan, part, settings)}")
    return 0


def stop(names: Sequence[str], settings: Settings) -> int:
    """Cancel the jobs of the one stage in `names`."""
    from executors.slurm import submit
    from executors.slurm.controller import Controller

    if len(names) != 1:
        raise BadInput("name a stage: make slurm-stop STAGE=train")
    submit.stop(Controller(), settings, names[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
