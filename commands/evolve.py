"""Runs the rounds of Code Evol-Instruct until pass@1 on the validation benchmark falls: `make evolve`.

Each round is part of the graph in pipelines/evolve/dvc.yaml (evolve, train, sample, score), and `dvc repro` brings it
up to date. This command only sets how many rounds there are, in rounds.yaml next to it. So a stopped or killed run
resumes where it was, and a second run does nothing.
"""

import shutil
from pathlib import Path
from typing import Any

from executors import parameters, profiles
from executors.tracking import repro
from stages.lib import artifacts
from stages.lib.benchmarks import validation
from stages.lib.errors import DONE
from stages.lib.evolution import best, configuration, rounds

FOLDER = Path("pipelines/evolve")
PIPELINE = FOLDER / "dvc.yaml"
# Stand-ins for inputs a round does not have. DVC rejects duplicate dependencies, so each is one that every round has.
NO_FILE, NO_DATASET = "stages/lib/evolution/rows.py", "stages/lib/evolution/configuration.py"


def main(_arguments: list[str]) -> int:
    """Run the rounds and print the table; the exit status of the first stage that failed, or 0."""
    for line in profiles.refresh():
        print(line, flush=True)
    parameters.check()
    knobs = configuration.read()
    validation.read()
    scores: list[float] = []
    while True:
        number = len(scores)
        write_rounds(knobs, number, over=False)
        if status := repro.run([f"{PIPELINE}:score@evolved-{number}"]):
            return status
        scores.append(best.score(number))
        decision = rounds.decide(scores, knobs.rounds)
        print(f"round {number}: pass@1 {scores[-1]:.1%}; {decision.why}", flush=True)
        if decision.over:
            break
    remove_later(number)
    write_rounds(knobs, number, over=True)
    if status := repro.run([f"{PIPELINE}:choose@best"]):
        return status
    print("\n".join(describe(scores, decision)))
    return DONE


def write_rounds(knobs: configuration.Rounds, last: int, over: bool) -> None:
    """Write to rounds.yaml that there are rounds 0 to `last` and, if `over`, that the best is to be chosen."""
    from ruamel.yaml import YAML

    file = FOLDER / "rounds.yaml"
    comment = [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("#")]
    seeds = {"reads": "data/dataset" if knobs.seeds.dataset else NO_DATASET, "file": knobs.seeds.file or NO_FILE}
    later = {str(one): {"reads": f"data/evolved/{one - 1}", "file": NO_FILE} for one in range(1, last + 1)}
    values: dict[str, Any] = {
        "rounds": {"0": seeds, **later},
        "models": {f"evolved-{one}": {"round": one} for one in range(last + 1)},
        "best": ["best"] if over else [],
    }
    yaml = YAML(pure=True)
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(comment)
        yaml.dump(values, stream)


def remove_later(last: int) -> None:
    """Remove what a longer run left of the rounds after `last`; DVC's cache keeps it."""
    number = last + 1
    while left := [Path(path) for path in best.parts(number) if Path(path).exists()]:
        for path in left:
            shutil.rmtree(path)
        number += 1


def describe(scores: list[float], decision: rounds.Decision) -> list[str]:
    """The rounds as a table, and where the result is."""
    lines = [f"{'round':<8}{'rows':>8}{'pass@1':>10}"]
    for number, score in enumerate(scores):
        told = artifacts.read_json(Path("metrics") / f"evolve-{number}.json")
        mark = "  best" if number == decision.best else ""
        lines.append(f"{number:<8}{told['train'] + told['validation']:>8,}{score:>10.1%}{mark}")
    return [*lines, f"{decision.why}; the best round is in {best.DATASET} and {best.MODEL}"]
