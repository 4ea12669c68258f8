"""Slurm's daemons for the tests of this folder, and what submits to them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurmbench import Bench
from slurmcluster import MISSING, SlurmCluster
from waiting import until


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if MISSING:
        pytest.skip(f"no {', '.join(MISSING)} here: `apt-get install slurmctld slurmd slurm-client munge`")
    if os.getuid() != 0:
        pytest.skip("Slurm's daemons start jobs as root")
    with SlurmCluster(tmp_path_factory.mktemp("slurm") / "cluster") as running:
        yield running


@pytest.fixture
def cluster(slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    yield slurm
    slurm.call("scancel", "--user=root", check=False)
    until(lambda: not slurm.call("squeue", "--noheader"))


@pytest.fixture
def bench(cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(cluster, tmp_path, monkeypatch)
