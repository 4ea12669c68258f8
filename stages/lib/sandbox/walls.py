"""The walls around a run: bubblewrap, else unshare(1), each a command line that goes before the command; else the
pod that we are in; else none."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stages.lib.errors import BadInput
from stages.lib.sandbox import languages, pod
from stages.lib.sandbox.languages import SYSTEM, Toolchain

NOBODY = 65534  # the uid and gid of a run where we are root
START_S = 60.0  # the most that a wall and what it holds may take to start on a busy machine
NAMESPACES = Path(__file__).parent / "namespaces.sh"
STAGE = Path(__file__).parent / "stage.sh"
CELL_CAPABILITIES = ("sys_admin", "setpcap")
NAMES = {
    "bubblewrap": "bubblewrap",
    "unshare": "user namespaces (unshare)",
    "none": "none (limits only)",
}


@dataclass(frozen=True)
class Isolation:
    """A kind of wall; what goes before it where we are root; where it then finds our files; and what stands around us
    where there is no wall of ours."""

    kind: Literal["bubblewrap", "unshare", "none"]
    prefix: tuple[str, ...] = ()
    staged: dict[str, str] = field(default_factory=dict)
    around: str = ""

    @property
    def name(self) -> str:
        """As people are told."""
        return self.around or NAMES[self.kind]

    def environment(self, tools: Toolchain) -> dict[str, str]:
        """What a command line of `command` is started with: a wall's own tools need to be found."""
        if self.kind == "none":
            return tools.bare().environment
        return {"PATH": os.environ.get("PATH", os.defpath)}

    def command(self, tools: Toolchain, tmp_mb: int, arguments: list[str], cells: bool = False) -> list[str]:
        """The whole command line of one process behind the wall; `cells`: it makes namespaces for others in there."""
        if self.kind == "none":
            return [*tools.bare().command, *map(tools.outside, arguments)]
        binds = [(self.staged.get(source, source), target) for source, target in tools.binds]
        environment = tools.environment | ({"SANDBOX_CELLS": "1"} if cells else {})
        if self.kind == "bubblewrap":
            wall = _bubblewrap(binds, environment, tmp_mb, cells)
        else:
            script = self.staged.get(str(NAMESPACES), str(NAMESPACES))
            hidden = "/mnt" if self.staged else "/sys"  # a folder that holds none of the sources
            wall = _unshare(script, hidden, binds, environment, tmp_mb, cells)
        return [*self.prefix, *wall, *tools.command, *arguments]


def _bubblewrap(binds: list[tuple[str, str]], environment: dict[str, str], tmp_mb: int, cells: bool) -> list[str]:
    """A root of nothing but read-only binds; all namespaces new, no user namespace to be made inside, and no
    capability but those, over the new namespaces alone, that cells are made with."""
    words: list[str] = []
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    words += [word for source, target in binds for word in ("--ro-bind", source, target)]
    size = ["--size", str(tmp_mb << 20)]
    return [
        *("bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
        *(word for name in CELL_CAPABILITIES if cells for word in ("--cap-add", f"CAP_{name.upper()}")),
        *("--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--clearenv"),
        *(word for pair in environment.items() for word in ("--setenv", *pair)),
        *words,
        *("--dev", "/dev", *size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp"),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"),
    ]


def _unshare(
    script: str, hidden: str, binds: list[tuple[str, str]], environment: dict[str, str], tmp_mb: int, cells: bool
) -> list[str]:
    """The same by unshare(1), mount(8) and setpriv(1), which every Linux has."""
    words = [word for path in SYSTEM for word in (path, path)]
    words += [word for pair in binds for word in pair]
    bounding = ",".join(["-all", *(f"+{name}" for name in CELL_CAPABILITIES if cells)])
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup"),
        *("--fork", "--kill-child=KILL", "env", "-i", *(f"{key}={value}" for key, value in environment.items())),
        *("sh", script, hidden, str(tmp_mb), bounding, *words, "--"),
    ]


@contextmanager
def find(allow_weak: bool, tools: Sequence[Toolchain] = ()) -> Iterator[Isolation]:
    """The strongest isolation that works here, tried out; BadInput where there is none and none was allowed.

    `tools`: what will run behind it, the candidate's and the referee's Python aside.
    """
    with _staged((languages.REFEREE, languages.PYTHON, *tools)) as (prefix, staged):
        candidates = (Isolation("bubblewrap", prefix, staged), Isolation("unshare", prefix, staged))
        isolation = next(filter(works, candidates), None)
        if isolation is None:
            lacking = pod.problems()
            if lacking and not allow_weak:
                raise BadInput(
                    "no isolation for foreign code: neither bubblewrap nor unprivileged user namespaces work here, nor "
                    f"is this pod a wall: {'; '.join(lacking)}; install bubblewrap or run where user namespaces are "
                    "allowed, or set allow_weak_isolation: true in params.yaml (score, judge.execution or "
                    "generate.tests.execution) to run it with limits alone"
                )
            isolation = Isolation("none", around="" if lacking else pod.NAME)
        yield isolation


def works(isolation: Isolation) -> bool:
    """True if a Python starts behind the wall."""
    command = isolation.command(languages.REFEREE, 1, [])
    command[command.index("-c") + 1] = "print('ready')"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_S,
            env=isolation.environment(languages.REFEREE),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout == b"ready\n"


@contextmanager
def _staged(tools: Sequence[Toolchain]) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """What goes before a wall, and where our files are for it: nothing and as they are, unless we are root.

    As root RLIMIT_NPROC does nothing and root's files can be read, so the wall is built by nobody. Nobody may not
    enter /root, where the interpreter may lie: so our files are bound elsewhere first, in a mount namespace that
    lives as long as its holder does.
    """
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        yield (), {}
        return
    drop = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--inh-caps=-all")
    sources = {source for one in tools for source, _ in one.binds} | {str(NAMESPACES)}
    staged = {source: f"/sys/{number}" for number, source in enumerate(sorted(sources))}
    words = [word for pair in staged.items() for word in pair]
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", str(STAGE), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdin and holder.stdout
    try:
        if holder.stdout.readline() == b"ready\n":
            yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--", *drop), staged
        else:
            yield drop, {}
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
