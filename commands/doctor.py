"""Says what this machine has and lacks for Tidemill, with the command that mends it: `make doctor`.

It starts no stage and downloads nothing. Exit status 3 if something is missing without which `make` cannot run.
"""

import configparser
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from executors import container
from stages.lib import params, sandbox
from stages.lib.errors import BAD_INPUT, DONE, BadInput
from stages.lib.models import weights
from stages.lib.sandbox import kits

GIB = 2**30
LEAST_MEMORY, LEAST_DISK = 4.0, 10.0  # GiB
READY, LOCKS = Path(".venv/.ready"), (Path("locks/dev.txt"), Path("locks/torch.txt"))
CPUINFO = Path("/proc/cpuinfo")
HALF = {"avx512_bf16", "amx_bf16", "bf16"}  # a processor's flags for products in bfloat16
Verdict = Literal["ok", "lacks", "without"]  # lacks: `make` cannot run; without: something cannot be done
SIGNS = {"ok": "ok", "lacks": "MISSING", "without": "-"}


@dataclass(frozen=True)
class Finding:
    """One thing: what it is, whether it is here, what was found, and the command that mends it."""

    what: str
    verdict: Verdict
    found: str
    mend: str = ""


def main(_arguments: list[str]) -> int:
    """Print the findings; 3 if `make` cannot run here."""
    found = [finding for check in CHECKS for finding in check()]
    width = max(len(one.what) for one in found)
    for one in found:
        mend = f"; {one.mend}" if one.mend else ""
        print(f"{SIGNS[one.verdict]:<8} {one.what:<{width}}  {one.found}{mend}")
    lacking = [one.what for one in found if one.verdict == "lacks"]
    print(f"\n`make` cannot run here yet: {', '.join(lacking)}" if lacking else "\n`make` can run here.")
    return BAD_INPUT if lacking else DONE


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    mend = "" if fits else "remove .venv and run `make setup PYTHON=python3.11`"
    yield Finding("Python", "ok" if fits else "lacks", version, mend)
    made = READY.stat().st_mtime if READY.is_file() else 0.0
    stale = [str(lock) for lock in LOCKS if lock.is_file() and lock.stat().st_mtime > made]
    if not made:
        yield Finding("environment", "without", f"{sys.prefix}, not made by make", "`make setup`")
    elif stale:
        yield Finding("environment", "without", f"older than {stale[0]}", "`make setup`")
    else:
        yield Finding("environment", "ok", sys.prefix)


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    yield Finding("processors", "ok", f"{cores} ({platform.machine()})")
    if CPUINFO.is_file() and HALF & set(CPUINFO.read_text(encoding="utf-8").split()):
        yield Finding("bfloat16", "ok", "precision: bfloat16 halves embed's and train's time on these processors")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    enough = memory >= LEAST_MEMORY
    advice = "" if enough else "make PROFILE=smoke, or EXECUTOR=kubernetes"
    yield Finding("memory", "ok" if enough else "without", f"{memory:.1f} GiB", advice)
    for what, folder in (("disk here", Path()), ("disk for weights", weights.cache())):
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free / GIB
        mend = "" if free >= LEAST_DISK else f"free {LEAST_DISK:.0f} GiB, or set {weights.CACHE} to another disk"
        yield Finding(what, "ok" if free >= LEAST_DISK else "without", f"{free:.0f} GiB free in {there}", mend)


def _programs() -> Iterator[Finding]:
    for name, why in (("git", "DVC, experiments"), ("npm", "profile self-contained, SOURCE=npm:…")):
        path = shutil.which(name)
        verdict: Verdict = "ok" if path else "lacks" if name == "git" else "without"
        yield Finding(name, verdict, path or f"needed for {why}", "" if path else f"`apt-get install {name}`")


def _gpu() -> Iterator[Finding]:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode:
        yield Finding("GPU", "without", "none; everything runs on the CPU")
        return
    yield Finding("GPU", "ok", "; ".join(done.stdout.strip().splitlines()))
    installed = importlib.util.find_spec("torch") and importlib.metadata.version("torch")
    cuda = bool(installed) and "cpu" not in str(installed) and importlib.util.find_spec("cupy") is not None
    mend = "" if cuda else "`.venv/bin/pip install --require-hashes -r locks/cuda.txt`"
    yield Finding("CUDA environment", "ok" if cuda else "without", f"torch {installed or 'is not installed'}", mend)


def _sandbox() -> Iterator[Finding]:
    try:
        yield Finding("sandbox", "ok", sandbox.isolation())
    except BadInput:
        yield Finding(
            "sandbox", "lacks", "neither bubblewrap nor user namespaces work", "`apt-get install bubblewrap`, or "
            "allow unprivileged user namespaces (docs/sandbox.md)"
        )  # fmt: skip


def _toolchains() -> Iterator[Finding]:
    for language, recipe in sorted(kits.RECIPES.items()):
        lacking = {
            package
            for what, package in recipe.needs
            if not (Path(what).exists() if "/" in what else shutil.which(what, path=kits.PATH))
        }
        found = "its programs can be run" if not lacking else "its programs cannot be run, so score and judge skip them"
        mend = f"`apt-get install {' '.join(sorted(lacking))}`" if lacking else ""
        yield Finding(f"language {language}", "without" if lacking else "ok", found, mend)


def _containers() -> Iterator[Finding]:
    try:
        engine = container.find_engine()
    except BadInput:
        yield Finding("containers", "without", "neither podman nor docker", "`apt-get install podman`")
        return
    done = subprocess.run([engine, "info"], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield Finding("containers", "without", f"{engine} does not answer: {why}", "start it")
        return
    yield Finding("containers", "ok", engine)
    for kind in container.KINDS:
        try:
            container.find_image(engine, kind)
            yield Finding(f"image {kind}", "ok", "here")
        except BadInput:
            yield Finding(f"image {kind}", "without", "not here", f'`make images IMAGES="{kind}"`')


def _cluster() -> Iterator[Finding]:
    named = os.environ.get("KUBECONFIG", "").split(":")[0] or str(Path.home() / ".kube/config")
    if Path(named).is_file():
        yield Finding("cluster", "ok", f"{named} (`make k8s-setup` tries it)")
    else:
        yield Finding(
            "cluster", "without", f"no {named}", "set KUBECONFIG for EXECUTOR=kubernetes (docs/kubernetes.md)"
        )
    if sbatch := shutil.which("sbatch"):
        yield Finding("Slurm", "ok", f"{sbatch} (EXECUTOR=slurm, docs/slurm.md)")


def _remote() -> Iterator[Finding]:
    config = configparser.ConfigParser()
    config.read([".dvc/config", ".dvc/config.local"])
    name = config.get("core", "remote", fallback="")
    mend = "" if name else "`make remote URL=s3://bucket/path`"
    yield Finding("DVC remote", "ok" if name else "without", name or "none: results stay on this machine", mend)


def _weights() -> Iterator[Finding]:
    for name in sorted(weights.named_in(list(params.merged().values()))):
        known = weights.load(name)
        here, size = known.path.is_file(), f"{known.bytes / 1e6:,.0f} MB"
        mend = "" if here else f"`make weights NAME={name}`, or the run fetches them"
        yield Finding(f"weights {name}", "ok" if here else "without", f"{size}{'' if here else ' to fetch'}", mend)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _machine,
    _programs,
    _gpu,
    _sandbox,
    _toolchains,
    _containers,
    _cluster,
    _remote,
    _weights,
)
