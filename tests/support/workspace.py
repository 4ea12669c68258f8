"""A workspace of one's own for every test: stages address artifacts relative to the current folder."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from commands.ablate.matrix import round_trip
from stages.lib.models import causal

REPOSITORY = Path(__file__).parent.parent.parent
IMPORTABLE = [str(REPOSITORY), str(REPOSITORY / "tests/support")]  # for programs that tests write
SHARED = Path(os.environ.get("TIDEMILL_SHARED", REPOSITORY.parent / "shared"))
UNPACKED = REPOSITORY / causal.UNPACKED  # one unpacked model for all tests
causal.UNPACKED = UNPACKED
UNPACKED.mkdir(parents=True, exist_ok=True)


class Workspace:
    """A folder with the default params.yaml, into which stages are run as `dvc` runs them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copy(REPOSITORY / "params.yaml", path)
        (path / ".tidemill").mkdir()
        (path / ".tidemill/models").symlink_to(UNPACKED)

    def set(self, key: str, value: Any) -> None:
        """Set `section.key[.key]` of params.yaml to `value`."""
        yaml = round_trip()
        values = yaml.load(self.path / "params.yaml")
        *parents, leaf = key.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        section[leaf] = value
        yaml.dump(values, self.path / "params.yaml")

    def command(self, stage: str) -> list[str]:
        """`stage`: its name, and what may follow it (`embed --shard 0/2`)."""
        return [sys.executable, "-m", "executors.runner", *stage.split()]

    def environment(self, **extra: str) -> dict[str, str]:
        """Logs every save, so that a test can act on it."""
        return {**os.environ, "PYTHONPATH": str(REPOSITORY), "TIDEMILL_LOG": "debug", **extra}

    def run(self, stage: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a stage to its end in a process of its own."""
        return subprocess.run(
            self.command(stage),
            cwd=self.path,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def start(self, stage: str, **environment: str) -> subprocess.Popen[str]:
        """Start a stage in a process of its own, to be killed or waited for."""
        return subprocess.Popen(
            self.command(stage),
            cwd=self.path,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop(self, stage: str, line: str, how: signal.Signals) -> int:
        """Start a stage, send it `how` as soon as it logs `line`, and return its exit status."""
        process = self.start(stage)
        assert process.stdout
        for logged in process.stdout:
            if line in logged:
                process.send_signal(how)
                break
        process.stdout.read()
        return process.wait(240)
