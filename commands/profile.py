"""Puts a profile in force, or says which one is: `make PROFILE=openai`, `make profile`.

Several go over one another, the last on top: `make PROFILE=codellama-7b,lora-5k`.
"""

from executors import parameters, profiles
from stages.lib import artifacts, params
from stages.lib.errors import BadInput


def main(arguments: list[str]) -> None:
    """Put the profiles that `arguments` name in force; without one, list all. Raises `BadInput` as `put`."""
    names = [name for word in arguments for name in word.replace(",", " ").split() if name != profiles.DEFAULT]
    if arguments:
        print("\n".join(put(names) or ["no value changes"]))
        print("\n".join(profiles.describe() or ["no profile: params.yaml alone"]))
        return
    print("\n".join(profiles.refresh() or ["no profile is in force: params.yaml alone"]))
    print("\n".join(_list()))


def put(names: list[str]) -> list[str]:
    """Put the profiles `names` in force, a later one over an earlier, and return a line for each changed value.

    Raises `BadInput`, changing nothing, for an unknown profile or a value that a stage would refuse.
    """
    before = params.PROFILE.read_text(encoding="utf-8") if params.PROFILE.is_file() else None
    held = params.merged()
    profiles.write(names)
    try:
        parameters.refuse_mistakes()
    except BadInput:
        if before is None:
            params.PROFILE.unlink()
        else:
            artifacts.write_text(params.PROFILE, before)
        raise
    return profiles.changes(held, params.merged())


def _list() -> list[str]:
    lines = ["`make PROFILE=NAME` puts one of these in force until you change it:"]
    for name in profiles.known():
        first = (profiles.FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
        about = first.removeprefix("#").strip() if first.startswith("#") else ""
        lines.append(f"  {name:<20} {about.partition('. ')[0].removesuffix('.')}")
    return [*lines, f"  {profiles.DEFAULT:<20} params.yaml alone"]
