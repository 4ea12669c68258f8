"""Virtual environments of the peers that benches are run beside, so that their needs do not meet the product's lock."""

import subprocess
import venv
from pathlib import Path

FOLDER = Path(__file__).parent.parent / ".tidemill" / "bench"


def python(name: str, *requirements: str) -> Path:
    """The Python of the environment `name`, which is made, with these requirements, if it isn't there."""
    place = FOLDER / name
    made = place / "bin" / f"{name}-is-here"
    if not made.exists():
        venv.create(place, with_pip=True, clear=True)
        pip = [place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
        made.touch()
    return place / "bin" / "python"
