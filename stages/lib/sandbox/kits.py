"""What each compiled language's jobs find ready made: a precompiled header, built crates, an import configuration.

A kit is made once, from this machine's own toolchain and the sources in jobs/, and kept under
.tidemill/toolchains beside the code, in a folder named by the hash of all that went into it. Nothing is fetched
but js-md5 (which JavaScript/162 asks for), by npm.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

JOBS = Path(__file__).parent / "jobs"
FOLDER = Path(__file__).parents[3] / ".tidemill/toolchains"
CRATES = Path("/usr/share/cargo/registry")  # Debian's librust-*-dev
GOCODE = Path("/usr/share/gocode")  # Debian's golang-*-dev
ASSERT = "github.com/stretchr/testify/assert"
JS_MD5 = "js-md5@0.7.3"
PATH = f"{os.environ.get('PATH', os.defpath)}:{Path.home() / '.cargo/bin'}"


class Missing(Exception):
    """A program or library that the language needs is not installed; says which, and its Debian package."""


@dataclass(frozen=True)
class Recipe:
    """needs: programs and files, each with the package that holds it; make: fills an empty folder."""

    needs: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    make: Callable[[Path], None]


def ready(language: str) -> Path:
    """The folder of the language's kit, made now if it is not there. Raises `Missing`."""
    recipe = RECIPES[language]
    lacking = [f"{what} ({package})" for what, package in recipe.needs if not _present(what)]
    if lacking:
        raise Missing(f"{language}: not installed: {', '.join(lacking)}")
    return _make(language, _key(language))


@cache
def _make(language: str, key: str) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    final = FOLDER / f"{language}-{key}"
    with (FOLDER / f"{language}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.exists():
            part = FOLDER / f"{language}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            RECIPES[language].make(part)
            _open(part)
            part.rename(final)
    return final


def _open(folder: Path) -> None:
    """Readable by the uid behind the wall, whatever the umask."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _key(language: str) -> str:
    """The hash of the recipe's sources and of the programs that it runs, by path, size and modification time."""
    recipe = RECIPES[language]
    parts = [(JOBS / name).read_text() for name in recipe.sources]
    parts.append(Path(__file__).read_text())
    for what, _ in recipe.needs:
        path = Path(program(what)).resolve() if "/" not in what else Path(what)
        stat = path.stat()
        parts.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _present(what: str) -> bool:
    return Path(what).exists() if "/" in what else shutil.which(what, path=PATH) is not None


def program(name: str) -> str:
    """The path of a program that a recipe needs."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def rust_sysroot() -> Path:
    """The folder of the Rust toolchain: rustup's own, or /usr."""
    return Path(_run([program("rustc"), "--print", "sysroot"]).strip())


def go_tools() -> Path:
    """The folder of Go's compiler and linker."""
    return Path(_run([program("go"), "env", "GOTOOLDIR"]).strip()).resolve()


def java_home() -> Path:
    """The folder of the JDK that javac belongs to."""
    return Path(program("javac")).resolve().parents[1]


def _run(command: list[str], cwd: Path | None = None, **environment: str) -> str:
    full = {**os.environ, "PATH": PATH, **environment}
    done = subprocess.run(command, cwd=cwd, env=full, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Missing(f"{' '.join(command)[:200]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def _cpp(folder: Path) -> None:
    """The precompiled header must be compiled with the flags of jobs/cpp.sh, or g++ does not use it."""
    for name in ("all.h", "headers.h", "instances.h"):
        shutil.copy(JOBS / name, folder)
    flags = ["-std=c++17", "-O0", "-w", "-fPIC"]
    _run(["g++", *flags, "-x", "c++-header", "all.h", "-o", "all.h.gch"], folder)
    _run(["g++", *flags, "-I", ".", "-c", str(JOBS / "instances.cpp"), "-o", "instances.o"], folder)
    _run(["gcc", "-O1", "-w", "-c", str(JOBS / "harness.c"), "-o", "harness.o"], folder)
    _run(["g++", "-rdynamic", "-Wl,--no-as-needed", "harness.o", "instances.o", "-lm", "-o", "harness"], folder)
    (folder / "compile").write_text(f'{_cc1plus(flags)} -include "$KIT/all.h"\n')
    for name in ("crtbeginS.o", "crtendS.o", "libgcc.a", "libc_nonshared.a"):
        shutil.copy(_library(name), folder)
    (folder / "crypto").write_text(f"{_library('libcrypto.so')}\n")


def _library(name: str) -> Path:
    """The file that gcc would link with."""
    return Path(_run(["gcc", f"-print-file-name={name}"]).strip()).resolve()


def _cc1plus(flags: list[str]) -> str:
    """The command line by which g++ itself would compile its input to p.s, quoted for a shell."""
    command = [program("g++"), *flags, "-###", "-S", "-x", "c++", "-", "-o", "p.s"]  # which prints what it would run
    told = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stderr
    return next(line.strip() for line in told.splitlines() if "cc1plus" in line.partition(" -quiet")[0])


def _go(folder: Path) -> None:
    """Export data of every package that a candidate may import, copied out of Go's own cache."""
    cache = folder / "cache"
    cache.mkdir()
    overlay = cache / "overlay.json"
    overlay.write_text(json.dumps({"Replace": _without_http(cache)}))
    environment = {"GO111MODULE": "off", "GOPATH": str(GOCODE), "GOFLAGS": "", "GOCACHE": str(cache)}
    names = [name for name in _run(["go", "list", "std"], folder, **environment).split() if _importable(name)]
    form = "{{if .Export}}{{.ImportPath}} {{.Export}}{{end}}"
    command = ["go", "list", "-export", "-deps", "-overlay", str(overlay), "-f", form, *names, ASSERT]
    lines = []
    for line in sorted(set(_run(command, folder, **environment).splitlines())):
        name, _, archive = line.partition(" ")
        target = folder / f"{name.replace('/', '.')}.a"
        shutil.copy(archive, target)
        lines.append(f"packagefile {name}=/kit/{target.name}\n")
    shutil.rmtree(cache)
    (folder / "importcfg").write_text("".join(lines))


# An import of net's packages, and a function HTTP… with its body.
_HTTP = re.compile(
    r'^\t(?:http |url )?"net/.*\n|^func (?:\(a \*Assertions\) )?HTTP\w+\(.*\n(?:.*\n)*?\}\n', re.MULTILINE
)


def _without_http(folder: Path) -> dict[str, str]:
    """testify's assert without its assertions of HTTP servers, for which each program would be linked with net/http:
    two thirds of the linker's time. From a file to what stands for it; no file is written over."""
    replace = {}
    for path in (GOCODE / "src" / ASSERT).glob("*.go"):
        text = path.read_text()
        cut = _HTTP.sub("", text)
        if path.name == "http_assertions.go":
            replace[str(path)] = ""
        elif cut != text:
            (folder / path.name).write_text(cut)
            replace[str(path)] = str(folder / path.name)
    return replace


def _importable(name: str) -> bool:
    """Not what only the Go tree itself may import, nor what would open the network or needs a C compiler."""
    closed = ("internal", "vendor", "net", "cgo", "plugin", "cmd")
    return not set(name.split("/")) & set(closed) and name not in ("os/user", "expvar", "log/syslog")


def _rust(folder: Path) -> None:
    rustc = program("rustc")
    for name, edition, features, needs in (
        ("memchr", "2018", ("std",), ()),
        ("aho_corasick", "2018", ("std",), ("memchr",)),
        ("regex_syntax", "2018", _UNICODE, ()),
        ("regex", "2018", ("std", *_PERF, *_UNICODE), ("aho_corasick", "memchr", "regex_syntax")),
        ("md5", "2018", ("std",), ()),
        ("rand", "2021", (), ()),
    ):
        source = JOBS / "rand.rs" if name == "rand" else _crate(name)
        cfg = [word for feature in features for word in ("--cfg", f'feature="{feature}"')]
        extern = [word for need in needs for word in ("--extern", f"{need}=lib{need}.rlib")]
        flags = ["--crate-type", "rlib", "--cap-lints", "allow", "-C", "opt-level=2", "-C", "prefer-dynamic", "-L", "."]
        _run([rustc, "--crate-name", name, "--edition", edition, *flags, *cfg, *extern, str(source)], folder)
    crates = sorted(path.name for path in folder.glob("*.rlib"))
    std = next(rust_sysroot().glob("lib/**/libstd-*.so"))
    shutil.copy(next(rust_sysroot().glob("lib/**/libcompiler_builtins-*.rlib")), folder / "builtins.a")
    shutil.copy(_library("libc_nonshared.a"), folder)
    whole = ["-Wl,--whole-archive", *crates, "-Wl,--no-whole-archive"]
    _run(["gcc", "-shared", "-o", "libcrates.so", *whole, str(std)], folder)
    libraries = ["-Wl,--no-as-needed", "-L.", "-lcrates", str(std), "-lgcc_s", "-lm"]
    _run(["gcc", "-O1", "-w", str(JOBS / "harness.c"), "-o", "harness", *libraries], folder)


_UNICODE = ("unicode", *(f"unicode-{part}" for part in ("age", "bool", "case", "gencat", "perl", "script", "segment")))
_PERF = ("perf", "perf-cache", "perf-dfa", "perf-inline", "perf-literal", "aho-corasick", "memchr")


def _crate(name: str) -> Path:
    found = sorted(CRATES.glob(f"{name.replace('_', '-')}-[0-9]*/src/lib.rs"))
    if not found:
        raise Missing(f"the crate {name} is not in {CRATES} (librust-{name.replace('_', '-')}-dev)")
    return found[-1]


def _java(folder: Path) -> None:
    _run(
        ["javac", "-XDstringConcat=inline", "-d", str(folder), str(JOBS / "Harness.java"), str(JOBS / "Compiler.java")],
        folder,
    )


def _javascript(folder: Path) -> None:
    shutil.copy(JOBS / "harness.js", folder)
    _run(["npm", "install", "--prefix", ".", "--ignore-scripts", "--no-audit", "--no-fund", JS_MD5], folder)


RECIPES = {
    "cpp": Recipe(
        (("g++", "g++"), ("/usr/include/boost/any.hpp", "libboost-dev"),
         ("/usr/include/openssl/md5.h", "libssl-dev")),
        ("all.h", "headers.h", "instances.h", "instances.cpp", "harness.c"),
        _cpp,
    ),
    "go": Recipe(
        (("go", "golang-go"),
         (str(GOCODE / "src" / ASSERT), "golang-github-stretchr-testify-dev")),
        (),
        _go,
    ),
    "java": Recipe((("javac", "openjdk-17-jdk-headless"),), ("Harness.java", "Compiler.java"), _java),
    "javascript": Recipe((("node", "nodejs"), ("npm", "npm")), ("harness.js",), _javascript),
    "rust": Recipe(
        (("rustc", "rustc"), ("gcc", "gcc"), (str(CRATES), "librust-regex-dev librust-md5-dev")),
        ("rand.rs", "harness.c"),
        _rust,
    ),
}  # fmt: skip
