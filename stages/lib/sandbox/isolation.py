"""The walls around a candidate: the strongest kind that works here, and the command that builds it."""

import logging
import os
import secrets
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from stages.lib.errors import BadInput

FOLDER = Path(__file__).parent
FIRST_UID, UIDS = 200_000, 50_000
SCRATCH = 16 << 20  # bytes of /tmp
LEVELS = ("bubblewrap", "namespaces")
log = logging.getLogger(__name__)


def interpreter() -> str:
    """The Python outside the virtual environment: what a candidate runs with, no package in sight."""
    return str(Path(sys.executable).resolve())


def command(level: str) -> list[str]:
    """The words that come before a program to run it under `level`.

    As root the walls are built without a user namespace, whose root would escape RLIMIT_NPROC, and the
    program runs under a uid of its own, so that two programs do not share that limit.
    """
    root = os.geteuid() == 0
    outside = [] if Path(sys.base_prefix).is_relative_to("/usr") else [sys.base_prefix]
    who = str(FIRST_UID + secrets.randbelow(UIDS))
    drop = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    if root:
        drop += ["--reuid", who, "--regid", who, "--clear-groups"]
    if level == "bubblewrap":
        binds = [word for path in ("/usr", *outside) for word in ("--ro-bind", path, path)]
        links = [
            word
            for name in ("bin", "lib", "lib64", "sbin")
            if (Path("/") / name).exists()
            for word in ("--symlink", f"usr/{name}", f"/{name}")
        ]
        spaces = "--unshare-pid --unshare-net --unshare-ipc --unshare-uts" if root else "--unshare-all --cap-drop ALL"
        walls = f"{spaces} --die-with-parent --new-session --clearenv --proc /proc --dev /dev"
        scratch = ["--perms", "1777", "--size", str(SCRATCH), "--tmpfs", "/tmp", "--chdir", "/tmp"]
        return ["bwrap", *walls.split(), *binds, *links, *scratch, *(drop if root else [])]
    if level == "namespaces":
        script = (FOLDER / "namespaces.sh").read_text(encoding="utf-8")
        spaces = "-mpniu" if root else "-Urmpniu"
        start = ["unshare", spaces, "--fork", "--kill-child", "--", "sh", "-c", script, "sh"]
        return [*start, outside[0] if outside else "", *drop]
    return []


@cache
def choose(allow_weak: bool = False) -> str:
    """The strongest level that works here. Raises `BadInput` where there is none and weak is not allowed."""
    for level in LEVELS:
        if shutil.which(command(level)[0]) and _works(level):
            log.info("sandbox: %s", level)
            return level
    if not allow_weak:
        raise BadInput(
            "no isolation for foreign code works here (bubblewrap, or user namespaces through unshare); install "
            "bubblewrap, or set score.allow_weak_isolation: true to run it under resource limits alone"
        )
    log.warning("sandbox: weak, resource limits alone: foreign code can read this machine's files and use its network")
    return "weak"


def _works(level: str) -> bool:
    probe = [*command(level), interpreter(), "-I", "-S", "-c", "print(6 * 7)"]
    done = subprocess.run(probe, capture_output=True, text=True, cwd="/")
    return done.stdout == "42\n"
