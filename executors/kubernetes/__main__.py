"""Manages a cluster: `make k8s-…`.

    python -m executors.kubernetes run [STAGE …]     run stale stages as Jobs
    python -m executors.kubernetes render [STAGE …]  print the manifests; needs no cluster
    python -m executors.kubernetes setup             create the namespace, the account and the network policies
    python -m executors.kubernetes status | logs STAGE | stop STAGE

Exit status: the stage's own (0, 3, 75 or a crash's), 130 when interrupted. After a kill, the same command attaches to
running Jobs.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence

from ruamel.yaml import YAML

from executors import kubernetes, parameters, profiles
from executors.kubernetes import jobs
from executors.kubernetes.jobs import APP, Settings
from executors.order import say
from executors.tracking import graph
from executors.walk import Plan, select
from stages.lib.errors import BAD_INPUT, BadInput


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    parser = argparse.ArgumentParser(
        prog="executors.kubernetes", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=["run", "render", "setup", "status", "logs", "stop"])
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    options = parser.parse_args(arguments)
    try:
        settings = jobs.load_settings()
        if options.command == "render":
            return render(options.stages, settings)
        if options.command == "run":
            for line in profiles.refresh():
                print(line, flush=True)
            parameters.check()
            return kubernetes.run(options.stages)
        return _ask_cluster(options.command, options.stages, settings)
    except BadInput as error:
        print(f"k8s: {error}", file=sys.stderr)
        return BAD_INPUT


def render(names: Sequence[str], settings: Settings) -> int:
    """Print the manifests of the named stages, or all."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    manifests = jobs.static(settings)
    for stage in select(graph.load(), names).values():
        inputs = {**stage.inputs, "image": jobs.image(stage.name, settings)}
        plan = Plan(stage.name, inputs, "HEAD", "", {"url": settings.remote or "s3://bucket/path"})
        manifests += [manifest for part in jobs.render(plan, settings) for manifest in part]
    unique = {json.dumps(manifest, sort_keys=True): manifest for manifest in manifests}
    yaml.dump_all(unique.values(), sys.stdout)
    return 0


def _ask_cluster(command: str, names: list[str], settings: Settings) -> int:
    from executors.kubernetes import submit
    from executors.kubernetes.cluster import Cluster, describe, finished

    cluster = Cluster(settings.namespace)
    if command == "setup":
        for manifest in jobs.static(settings):
            what = f"{manifest['kind']} {manifest['metadata']['name']}"
            try:
                created = cluster.create(manifest)
                if not created and manifest["kind"] == "NetworkPolicy":
                    cluster.replace(manifest)  # it may have been edited since
                say(f"{what}: {'created' if created else 'exists'}")
            except BadInput as error:
                if manifest["kind"] != "Namespace":
                    raise
                say(f"{what}: {error}; assuming that it exists")  # an administrator may have created it
        return 0
    if command == "status":
        found = cluster.jobs(",".join("=".join(pair) for pair in APP.items()))
        for job in found:
            state = finished(job) or ("suspended" if job.spec.suspend else "active")
            words = "; ".join(f"{pod.metadata.name} {describe(pod)}" for pod in cluster.pods(job.metadata.name))
            say(f"{job.metadata.name}  {state}  {words}")
        if not found:
            say("no Jobs")
        return 0
    if len(names) != 1:
        raise BadInput(f"name a stage: make k8s-{command} STAGE=train")
    if command == "stop":
        submit.stop(cluster, names[0])
        return 0
    found = submit.jobs_of(cluster, names[0])
    return int(cluster.follow(found[-1].metadata.name, say).status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
