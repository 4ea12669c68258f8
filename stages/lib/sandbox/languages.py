"""What each language needs inside the walls: the folders that it sees and the command that serves its calls."""

import sys
import sysconfig
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from stages.lib.errors import BadInput
from stages.lib.sandbox.program import Limits

INSIDE = Path(__file__).parent / "inside"
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


@dataclass(frozen=True)
class Toolchain:
    """binds: (path here, path inside), all read-only; environment: the whole of it; command: without arguments."""

    binds: tuple[tuple[str, str], ...]
    environment: dict[str, str]
    command: tuple[str, ...]
    packages: tuple[str, ...]

    def bare(self) -> "Toolchain":
        """The same with no walls around: every path inside is the path here."""
        here = {inside: outside for outside, inside in self.binds}
        here["/harness"] = str(INSIDE.parent)
        command = tuple(_replace(word, here) for word in self.command)
        packages = tuple(_replace(word, here) for word in self.packages)
        environment = {key: _replace(value, here) for key, value in self.environment.items()}
        return Toolchain(self.binds, environment, command, packages)

    def arguments(self, limits: Limits) -> list[str]:
        """The limits that a process sets for itself, and its packages, in the order of `inside.*.main`."""
        numbers = (ceil(limits.cpu_s), limits.memory_mb, limits.processes, limits.file_mb)
        return [*map(str, numbers), *self.packages]


def _replace(word: str, here: dict[str, str]) -> str:
    for inside, outside in here.items():
        word = word.replace(inside, outside)
    return word


def python(module: str) -> Toolchain:
    """This interpreter and the packages of this environment, serving with `inside/MODULE.py`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = tuple(dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))))
    library = Path(str(sysconfig.get_config_var("LIBDIR") or "/")) / str(sysconfig.get_config_var("INSTSONAME") or "")
    shared = [(str(library), f"/python/lib/{library.name}")] if ".so" in library.name and library.is_file() else []
    start = f"import sys; sys.path.insert(0, '/harness'); from inside.{module} import main"
    call = "a = sys.argv[1:]; main(*map(int, a[:4]), *a[4:])"
    return Toolchain(
        binds=(
            (str(Path(sys.executable).resolve()), f"/python/bin/{version}"),
            (sysconfig.get_path("stdlib"), f"/python/lib/{version}"),
            *shared,
            *((path, f"/packages/{number}") for number, path in enumerate(packages)),
            (str(INSIDE), "/harness/inside"),
        ),
        environment={
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PYTHONHASHSEED": "0",
            "OPENBLAS_NUM_THREADS": "1",
            "LD_LIBRARY_PATH": "/python/lib",
        },
        command=(f"/python/bin/{version}", "-I", "-S", "-B", "-c", f"{start}; {call}"),
        packages=tuple(f"/packages/{number}" for number in range(len(packages))),
    )


# The language of a program to what serves its candidates; the tests of every language run in Python.
LANGUAGES = {"python": python("candidate")}
REFEREE = python("referee")
ALL = (REFEREE, *LANGUAGES.values())


def toolchain(language: str) -> Toolchain:
    """The language's entry; BadInput for a language that has none."""
    if language not in LANGUAGES:
        raise BadInput(f"language {language!r}: the sandbox runs {', '.join(LANGUAGES)}; leave these tasks out")
    return LANGUAGES[language]
