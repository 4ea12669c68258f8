"""Puts right what a kill can leave of DVC's own files: `make` asks for it when `dvc repro` fails.

DVC 3.67 writes dvc.lock and .dvc/tmp/rwlock in place, and an entry of its run cache into a folder that it makes
first. Killed in between it leaves half a file or an empty folder, and every later command fails on that. None is
needed: git has an older dvc.lock, and what it lacks comes from the run cache without running; rwlock tells of commands
that run, and half of one tells of none. Exit status 0 if something was put right, else 1.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK, RWLOCK = Path("dvc.lock"), Path(".dvc/tmp/rwlock")
ASIDE = Path(".tidemill/run/dvc.lock.damaged")


def main() -> int:
    """Put right what is damaged, say so, and return the exit status."""
    mended = [recover_lock(), recover_rwlock(), recover_run_cache()]
    return 0 if any(mended) else 1


def recover_lock() -> bool:
    """Take git's dvc.lock (or none, where git has none) in place of one that DVC cannot read. One with git's conflict
    markers is a person's to resolve and stays."""
    if not LOCK.is_file() or b"\n<<<<<<< " in LOCK.read_bytes() or _readable():
        return False
    ASIDE.parent.mkdir(parents=True, exist_ok=True)
    LOCK.rename(ASIDE)
    found = subprocess.run(["git", "checkout", "--quiet", "HEAD", "--", str(LOCK)], capture_output=True, check=False)
    taken = "git's is taken" if found.returncode == 0 else "git has none"
    print(f"dvc.lock was cut short, and is in {ASIDE} now; {taken}, the run cache knows the rest", file=sys.stderr)
    return True


def recover_rwlock() -> bool:
    """Remove half an rwlock."""
    if not RWLOCK.is_file():
        return False
    try:
        json.loads(RWLOCK.read_text())
    except ValueError:
        RWLOCK.unlink()
        print(f"{RWLOCK} was cut short, and is removed", file=sys.stderr)
        return True
    return False


def recover_run_cache() -> bool:
    """Remove folders of the run cache that hold no entry yet."""
    from dvc.repo import Repo

    with Repo() as repo:
        empty = [folder for folder in Path(repo.stage_cache.cache_dir).glob("??/*") if not any(folder.iterdir())]
    for folder in empty:
        folder.rmdir()
        print(f"{folder} in DVC's run cache was begun and not filled, and is removed", file=sys.stderr)
    return bool(empty)


def _readable() -> bool:
    from dvc.dvcfile import LOCK_FILE, Lockfile
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            Lockfile(repo, LOCK_FILE).load()
    except DvcException:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
