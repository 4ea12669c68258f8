"""A sample of the kill series (tests/soak_kills.py), in another order each time; the seed is printed."""

import os
import random
import subprocess
import sys

import pytest
from conftest import REPOSITORY

KILLS = os.environ.get("TIDEMILL_DEPLOY_KILLS", "2")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("act", ["repro", "submit"])
def test_killed_at_random_moments_the_result_is_the_same(act: str) -> None:
    seed = str(random.randrange(1 << 32))
    command = [sys.executable, REPOSITORY / "tests/soak_kills.py", "--kills", KILLS, "--seed", seed, "--acts", act]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=880)
    assert ran.returncode == 0, f"seed {seed}\n{ran.stdout}\n{ran.stderr}"
