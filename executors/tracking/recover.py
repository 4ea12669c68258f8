"""Repairs what a kill can leave of DVC's own files: `make` runs this when `dvc repro` fails.

DVC 3.67 writes dvc.lock and .dvc/tmp/rwlock in place, and creates a run cache entry's folder before the entry. A kill
in between leaves half a file or an empty folder, on which every later command fails. All can go: git has an older
dvc.lock, and the run cache knows the rest; rwlock lists running commands, and half of one lists none. Exit status 0 if
something was repaired, otherwise 1.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK, RWLOCK = Path("dvc.lock"), Path(".dvc/tmp/rwlock")
ASIDE = Path(".tidemill/run/dvc.lock.damaged")


def main() -> int:
    """Repair what is damaged, report it, and return the exit status."""
    mended = [recover_lock(), recover_rwlock(), recover_run_cache()]
    return 0 if any(mended) else 1


def recover_lock() -> bool:
    """Replace a dvc.lock that DVC cannot read by git's, or remove it if git has none. One with conflict markers stays:
    a person has to resolve it."""
    if not LOCK.is_file() or b"\n<<<<<<< " in LOCK.read_bytes() or _readable():
        return False
    ASIDE.parent.mkdir(parents=True, exist_ok=True)
    LOCK.rename(ASIDE)
    found = subprocess.run(["git", "checkout", "--quiet", "HEAD", "--", str(LOCK)], capture_output=True, check=False)
    taken = "git's is taken" if found.returncode == 0 else "git has none"
    print(f"dvc.lock was cut short and moved to {ASIDE}; {taken}, the run cache knows the rest", file=sys.stderr)
    return True


def recover_rwlock() -> bool:
    """Remove half an rwlock."""
    if not RWLOCK.is_file():
        return False
    try:
        json.loads(RWLOCK.read_text())
    except ValueError:
        RWLOCK.unlink()
        print(f"removed {RWLOCK}, which was cut short", file=sys.stderr)
        return True
    return False


def recover_run_cache() -> bool:
    """Remove run cache folders without an entry."""
    from dvc.repo import Repo

    with Repo() as repo:
        empty = [folder for folder in Path(repo.stage_cache.cache_dir).glob("??/*") if not any(folder.iterdir())]
    for folder in empty:
        folder.rmdir()
        print(f"removed {folder}, an empty entry of DVC's run cache", file=sys.stderr)
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
