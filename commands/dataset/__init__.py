"""One's own code, or another tool's rows, to a dataset in one command: `make dataset SOURCE=~/code/project`.

make dataset SOURCE=… [TEACHER=http://localhost:8000/v1 MODEL=name] [JUDGE=name] [ROWS=500] [YES=1]
             [KEY=OPENAI_API_KEY PRICE=0.15/0.60 BUDGET=5]     for an endpoint that costs money
             [NAME=project]                                    of the profile
make dataset DATA=rows.jsonl [LICENSE=MIT LANGUAGE=Python COLUMNS="output=response tests=unit_tests"] [TEACHER=… …]

SOURCE is a folder, a git URL, an archive, a Parquet or JSONL file of code, or a package (NAME, npm:NAME, apt:NAME).
DATA is a file of rows that another tool wrote (docs/own-rows.md): no teacher is asked, and they are only judged.
Without TEACHER the embedded models write and judge. It writes a profile and puts it in force, checks all parameters and
the endpoint, collects and filters the code or reads the rows, says what the rest takes, asks, and runs to data/dataset.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from commands import profile
from commands.dataset import sizing, source
from commands.dataset.sizing import Wish
from executors import chosen, endpoints, parameters, profiles
from stages.lib import artifacts, params
from stages.lib.errors import DONE, BadInput
from stages.lib.methods import bringing

MARK = "# Written by `make dataset"
DATASET = Path("data/dataset")


def main(arguments: list[str]) -> int:
    """Make the dataset; the exit status of the stage that failed, or 0. Raises `BadInput`, having spent nothing, for a
    source, an endpoint or a parameter that does not serve, and where nobody says yes."""
    wish, yes = _parse(arguments)
    parameters.refuse_mistakes()
    return _judge(wish, yes) if wish.data else _make(wish, yes)


def _make(wish: Wish, yes: bool) -> int:
    """Of code: collected and filtered first, since the plan depends on what is left."""
    found = source.read(wish.source)
    name = _profile_name(wish, found["name"].partition("@")[0])
    held = _under(name)
    asked = _try(sizing.preview(wish, held))
    _put(name, wish, sizing.values(wish, found, held, functions=None))
    if status := chosen().run(["filter"]):
        return status
    functions = sizing.suitable(params.merged()["generate"])
    _put(name, wish, sizing.values(wish, found, held, functions))
    return _finish(name, sizing.plan(params.merged(), asked, wish.rows), yes)


def _judge(wish: Wish, yes: bool) -> int:
    """Of another tool's rows: all are read first, so that what is wrong with them is said before a model is asked."""
    file = source.named_from_here(wish.data)
    name = _profile_name(wish, Path(file).stem)
    values = sizing.values_of_rows(wish, file)
    held = dict(params.over(_under(name), values))
    entries = bringing.read(bringing.parse(held["generate"]), "", held["generate"]["max_dead_share"])
    asked = _try(held)
    _put(name, wish, values)
    return _finish(name, sizing.plan_of_rows(params.merged(), asked, entries), yes)


def _try(held: dict[str, Any]) -> list[endpoints.Model]:
    """The models of the parameters `held`, each asked once."""
    asked = endpoints.ask_all(endpoints.models(held), patient=True)
    for model in asked:
        print(model, flush=True)
    return asked


def _finish(name: str, plan: list[str], yes: bool) -> int:
    """Show the profile and the plan, ask, and run to data/dataset."""
    print(f"\nprofiles/{name}.yaml, now in force:\n")
    print((profiles.FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    print("\n".join(plan), flush=True)
    _confirm(yes)
    if status := chosen().run(["assemble"]):
        return status
    print("\n".join(_conclude()))
    return DONE


def _parse(arguments: list[str]) -> tuple[Wish, bool]:
    parser = argparse.ArgumentParser(
        prog="make dataset", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    words = ("source", "teacher", "model", "judge", "rows", "key", "price", "budget", "name", "yes")
    for name in (*words, "data", "license", "language", "columns"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    rows = given.rows or str(sizing.ROWS)
    if not rows.isdecimal() or int(rows) < 1:
        raise BadInput(f"ROWS={rows}: give the number of rows that the teacher is to write")
    wish = Wish(
        source=given.source,
        teacher=given.teacher.rstrip("/"),
        model=given.model,
        judge=given.judge,
        rows=int(rows),
        key=given.key,
        price=given.price,
        budget=given.budget,
        name=given.name,
        data=given.data,
        license=given.license,
        language=given.language,
        columns=given.columns,
    )
    wish.check()
    return wish, bool(given.yes)


def _profile_name(wish: Wish, found: str) -> str:
    """The name of the profile to write for what is `found`. Raises `BadInput` rather than overwrite one that a person
    wrote."""
    name = wish.name or sizing.slug(found)
    file = profiles.FOLDER / f"{name}.yaml"
    if name == profiles.DEFAULT or (file.is_file() and not _is_ours(file)):
        raise BadInput(f"{file} is a profile that somebody wrote; give another: make dataset … NAME=my-{name}")
    return name


def _is_ours(file: Path) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8").startswith(MARK)


def _put(name: str, wish: Wish, values: dict[str, Any]) -> None:
    """Write the profile and put it in force."""
    made_of = f"DATA={wish.data}" if wish.data else f"SOURCE={wish.source}"
    command = f"{MARK} {made_of}`, which writes it again. `make PROFILE={profiles.DEFAULT}` drops it.\n"
    artifacts.write_text(profiles.FOLDER / f"{name}.yaml", command + profiles.to_yaml(values))
    profile.put([*_below(name), name])


def _below(name: str) -> list[str]:
    """The profiles in force that people wrote, over which the profile `name` goes."""
    return [one for one in profiles.in_force() if one != name and not _is_ours(profiles.FOLDER / f"{one}.yaml")]


def _under(name: str) -> dict[str, Any]:
    """The parameters without the profile `name`."""
    held: Any = params.read()
    for one in _below(name):
        held = params.over(held, profiles.resolve(one))
    return dict(held)


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput("nothing was asked of a model yet; add YES=1 to go on without a question")
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise BadInput(
            "stopped; nothing was asked of a model yet. The profile stays in force: change it, then run again"
        )


def _conclude() -> list[str]:
    told = artifacts.read_json(Path("metrics/assemble.json"))
    counts = {split: told.get(split, 0) for split in ("train", "validation")}
    return [
        f"{DATASET}: {counts['train']} training rows and {counts['validation']} for validation; failures_by_rule in "
        "metrics/judge-*.json says why there are no more",
        f'datasets.load_dataset("{DATASET}") reads it; `make tune` trains on it, `make trace ID=…` follows a row back',
    ]
