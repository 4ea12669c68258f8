"""One's own code to a dataset in one command: `make dataset SOURCE=~/code/project`.

make dataset SOURCE=… [TEACHER=http://localhost:8000/v1 MODEL=name] [JUDGE=name] [ROWS=500] [YES=1]
             [KEY=OPENAI_API_KEY PRICE=0.15/0.60 BUDGET=5]     for an endpoint that costs money
             [NAME=project]                                    of the profile

SOURCE is a folder, a git URL, an archive, a Parquet or JSONL file of code, or a package (NAME, npm:NAME, apt:NAME).
Without TEACHER the embedded models write and judge. It writes a profile and puts it in force, checks all parameters and
the endpoint, collects and filters the code, says what the rest takes, asks, and runs to data/dataset.
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

MARK = "# Written by `make dataset"
DATASET = Path("data/dataset")


def main(arguments: list[str]) -> int:
    """Make the dataset; the exit status of the stage that failed, or 0. Raises `BadInput`, having spent nothing, for a
    source, an endpoint or a parameter that does not serve, and where nobody says yes."""
    wish, yes = _parse(arguments)
    parameters.refuse_mistakes()
    found = source.read(wish.source)
    name = _profile_name(wish, found)
    asked = endpoints.ask_all(endpoints.models(sizing.preview(wish, params.merged())), patient=True)
    for model in asked:
        print(model, flush=True)
    below = [one for one in profiles.in_force() if one != name and not _is_ours(profiles.FOLDER / f"{one}.yaml")]
    _put(below, name, wish, found, functions=None)
    if status := chosen().run(["filter"]):
        return status
    _put(below, name, wish, found, functions=sizing.suitable(params.merged()["generate"]))
    print(f"\nprofiles/{name}.yaml, now in force:\n")
    print((profiles.FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    print("\n".join(sizing.plan(params.merged(), asked, wish.rows)), flush=True)
    _confirm(yes)
    if status := chosen().run(["assemble"]):
        return status
    print("\n".join(_conclude()))
    return DONE


def _parse(arguments: list[str]) -> tuple[Wish, bool]:
    parser = argparse.ArgumentParser(
        prog="make dataset", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("source", "teacher", "model", "judge", "rows", "key", "price", "budget", "name", "yes"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    if not given.source:
        raise BadInput("name your code: make dataset SOURCE=~/code/project (a folder, git URL, archive, file, package)")
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
    )
    wish.check()
    return wish, bool(given.yes)


def _profile_name(wish: Wish, found: dict[str, Any]) -> str:
    """The name of the profile to write. Raises `BadInput` rather than overwrite one that a person wrote."""
    name = wish.name or sizing.slug(found["name"].partition("@")[0])
    file = profiles.FOLDER / f"{name}.yaml"
    if name == profiles.DEFAULT or (file.is_file() and not _is_ours(file)):
        raise BadInput(f"{file} is a profile that somebody wrote; give another: make dataset … NAME=my-{name}")
    return name


def _is_ours(file: Path) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8").startswith(MARK)


def _put(below: list[str], name: str, wish: Wish, found: dict[str, Any], functions: int | None) -> None:
    """Write the profile and put it in force, over the profiles `below`."""
    values = sizing.values(wish, found, params.merged(), functions)
    command = f"{MARK} SOURCE={wish.source}`, which writes it again. `make PROFILE={profiles.DEFAULT}` drops it.\n"
    artifacts.write_text(profiles.FOLDER / f"{name}.yaml", command + profiles.to_yaml(values))
    profile.put([*below, name])


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
        f"{DATASET}: {counts['train']} training rows and {counts['validation']} for validation",
        f'datasets.load_dataset("{DATASET}") reads it; `make tune` trains on it, `make trace ID=…` follows a row back',
    ]
