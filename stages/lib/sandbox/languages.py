"""What each language needs inside the walls: the folders that it sees and the command that serves its calls."""

import re
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path

from stages.lib.errors import BadInput
from stages.lib.sandbox import kits
from stages.lib.sandbox.program import Limits

INSIDE = Path(__file__).parent / "inside"
ALLOWED = ("numpy", "numpy.libs")  # of this environment's packages, to Python's programs and tests
_PACKAGES = ("site-packages", "dist-packages")  # in the standard library's folder, and no part of it
SPARE_PROCESSES = 64  # threads of a compiler or a runtime, beside the limit of the candidate's own
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


@dataclass(frozen=True)
class Toolchain:
    """binds: (path here, path inside), all read-only; environment: the whole of it; command: without arguments;
    packages: words behind the limits; spare: processes beyond the limit."""

    binds: tuple[tuple[str, str], ...]
    environment: dict[str, str]
    command: tuple[str, ...]
    packages: tuple[str, ...]
    spare: int = 0

    def with_hash_seed(self, seed: int) -> "Toolchain":
        """The same with another seed for the hashes of Python's texts."""
        return replace(self, environment={**self.environment, "PYTHONHASHSEED": str(seed)})

    def bare(self) -> "Toolchain":
        """The same with no walls around: every path inside is the path here."""
        command, packages = (tuple(map(self.outside, words)) for words in (self.command, self.packages))
        environment = {key: self.outside(value) for key, value in self.environment.items()}
        return replace(self, environment=environment, command=command, packages=packages)

    def outside(self, word: str) -> str:
        """A word with every path inside replaced by the path here."""
        here = {inside: outside for outside, inside in self.binds}
        here |= {"/harness": str(INSIDE.parent), "/packages": sysconfig.get_path("platlib")}
        return _replace(word, here)

    def arguments(self, limits: Limits) -> list[str]:
        """The limits that a process sets for itself, and its packages, in the order of `inside.*.main`."""
        numbers = (ceil(limits.cpu_s), limits.memory_mb, limits.processes + self.spare, limits.file_mb)
        return [*map(str, numbers), *self.packages]


def _replace(word: str, here: dict[str, str]) -> str:
    """Every path of `here` in a word, such as a list of folders, by its own; /rust does not stand for /rustlib."""
    paths = "|".join(map(re.escape, sorted(here, key=len, reverse=True)))
    return re.sub(rf"(?<![\w./-])(?:{paths})(?![\w.-])", lambda found: here[found[0]], word)


def python(module: str) -> Toolchain:
    """This interpreter and the packages of this environment that programs may use, serving with `inside/MODULE.py`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(sysconfig.get_path("platlib"))
    library = Path(str(sysconfig.get_config_var("LIBDIR") or "/")) / str(sysconfig.get_config_var("INSTSONAME") or "")
    shared = [(str(library), f"/python/lib/{library.name}")] if ".so" in library.name and library.is_file() else []
    standard = Path(sysconfig.get_path("stdlib"))
    hidden = [f"/python/lib/{version}/{name}" for name in _PACKAGES if (standard / name).is_dir()]
    hidden += [folder for folder in ("/usr/lib/python3/dist-packages",) if Path(folder).is_dir()]
    start = f"import sys; sys.path.insert(0, '/harness'); from inside.{module} import main"
    call = "a = sys.argv[1:]; main(*map(int, a[:4]), *a[4:])"
    return Toolchain(
        binds=(
            (str(Path(sys.executable).resolve()), f"/python/bin/{version}"),
            (str(standard), f"/python/lib/{version}"),
            *((str(INSIDE), folder) for folder in hidden),  # something harmless over them
            *shared,
            *((str(packages / name), f"/packages/{name}") for name in ALLOWED if (packages / name).is_dir()),
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
        # Not -I, which has Python ignore PYTHONHASHSEED too: the environment is ours as a whole.
        command=(f"/python/bin/{version}", "-P", "-s", "-S", "-B", "-c", f"{start}; {call}"),
        packages=("/packages",),
    )


@cache
def native(language: str) -> Toolchain:
    """The compiler and runtime of a language whose tests and candidate are one program, which jobs/job.sh runs.
    Raises `kits.Missing`."""
    kit = kits.ready(language)
    binds, environment = NATIVE[language]()
    return Toolchain(
        binds=(
            ("/usr/bin", "/usr/bin"),
            *binds,
            (str(kits.JOBS), "/harness/jobs"),
            (str(kit), "/kit"),
        ),
        environment={"HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/bin", "KIT": "/kit"}
        | environment,
        command=("/usr/bin/sh", "/harness/jobs/job.sh", language),
        packages=(),
    )


@cache
def jobs(language: str) -> Toolchain:
    """The same, started by `inside/job.py`."""
    tools, server = native(language), python("job")
    environment = (f"{key}={value}" for key, value in tools.environment.items())
    words = (*environment, "--", *tools.command)
    return replace(server, binds=server.binds + tools.binds, packages=words, spare=SPARE_PROCESSES)


def javac() -> Toolchain:
    """The Java compiler that stays (jobs/Compiler.java)."""
    tools = native("java")
    flags = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Xshare:auto", "-XX:-UsePerfData")
    return replace(tools, command=("/java/bin/java", *flags, "-cp", "/kit", "Compiler"))


Parts = tuple[tuple[tuple[str, str], ...], dict[str, str]]  # what is bound beside the kit, and the environment


def _cpp() -> Parts:
    return (("/usr/include", "/usr/include"),), {}


def _go() -> Parts:
    tools = str(kits.go_tools())
    return ((tools, "/go"),), {"GO_TOOLS": "/go", "IMPORTS": "/kit/importcfg", "GOMAXPROCS": "2"}


def _rust() -> Parts:
    root = kits.rust_sysroot()
    std = [str(path.parent.relative_to(root)) for path in root.glob("lib/**/libstd-*.so")]
    libraries = ":".join(("/kit", *(f"/rust/{folder}" for folder in ("lib", *std))))
    return ((str(root), "/rust"),), {"RUST": "/rust", "LD_LIBRARY_PATH": libraries}


def _java() -> Parts:
    home = str(kits.java_home())
    settings = [(str(path), str(path)) for path in Path("/etc").glob("java-*-openjdk")]
    return ((home, "/java"), *settings), {"JAVA": "/java", "LD_LIBRARY_PATH": "/java/lib:/java/lib/server"}


def _javascript() -> Parts:
    node = str(Path(kits.program("node")).resolve())
    return ((node, "/node"),), {"NODE": "/node", "NODE_PATH": "/kit/node_modules"}


NATIVE: dict[str, Callable[[], Parts]] = {
    "cpp": _cpp,
    "go": _go,
    "java": _java,
    "javascript": _javascript,
    "rust": _rust,
}

# The language of a program to what serves its candidates; the tests of Python run in a Python of their own.
PYTHON = python("candidate")
REFEREE = python("referee")
LANGUAGES = ("python", *NATIVE)


def toolchain(language: str) -> Toolchain:
    """The language's entry; BadInput for a language that has none. Raises `kits.Missing`."""
    if language not in LANGUAGES:
        raise BadInput(f"language {language!r}: the sandbox runs {', '.join(LANGUAGES)}; leave these tasks out")
    return PYTHON if language == "python" else jobs(language)


def missing(language: str) -> str:
    """Why programs of this language cannot be run here; "" where they can."""
    try:
        toolchain(language)
    except kits.Missing as error:
        return str(error)
    return ""
