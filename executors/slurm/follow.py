"""Follows one job, or an array, to its end: its log, what it waits for, and its exit status.

Nodes write logs and exit statuses into the stage's folder, which they share with this machine. The controller forgets a
job minutes after its end, and keeps no accounts on many clusters, so only the folder is relied on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from executors.slurm.controller import ENDED, Away, Controller, Record, end, waits
from executors.slurm.jobs import Part
from stages.lib.errors import BAD_INPUT, CRASHED, PREEMPTED

LATE = 15.0  # seconds that a status may take from a node to here, through a network's file system
SPARED = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL"}  # ends that are no fault of the stage's


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its exit status, the reason, and whether the same again may end otherwise."""

    status: int
    reason: str = ""
    again: bool = False


@dataclass
class Follower:
    """Follows the job `number`, which is `part` of the stage in the folder `place`."""

    controller: Controller
    place: Path
    part: Part
    number: str
    poll: float
    _read: dict[Path, int] = field(default_factory=dict)  # bytes of each log that were printed
    _said: dict[str, str] = field(default_factory=dict)

    def outcome(self, say: Callable[[str], None]) -> Outcome:
        """Print the job's log and state until it ends."""
        records: list[Record] = []
        answered = time.monotonic()
        while not self.is_over():
            try:
                records = self.controller.records(self.number)
                answered = time.monotonic()
                if all(record.state in ENDED for record in records):
                    break
            except Away as error:
                if time.monotonic() - answered > self.controller.patience:
                    raise self.controller.no_answer(str(error)) from None
            for record in records:
                self._say_state(record, say)
            self._print_logs(say)
            time.sleep(self.poll)
        found = self._ends(records)
        self._print_logs(say, last=True)
        return found

    def is_over(self) -> bool:
        """Whether the job, or each of the array, has left its exit status."""
        return all(self._file(one).is_file() for one in self._numbers())

    def _numbers(self) -> list[str]:
        return [f"{self.number}_{task}" for task in range(self.part.shards)] or [self.number]

    def _file(self, one: str) -> Path:
        return self.place / f"{self.part.word}.{one}.status"

    def _say_state(self, record: Record, say: Callable[[str], None]) -> None:
        words = record.state
        if record.state == "PENDING":
            if record.reason in ("None", "Dependency"):
                return
            words = f"waits {waits(record)}"
        elif record.state == "RUNNING":
            words = f"runs on {record.node}{f', start {record.restarts + 1}' if record.restarts else ''}"
        elif record.state in ("COMPLETING", "COMPLETED", "CONFIGURING"):
            return
        if self._said.get(record.task) != words:
            self._said[record.task] = words
            say(f"{self._name(record.task)}: {words.lower() if words == record.state else words}")

    def _name(self, task: str) -> str:
        return f"{self.place.name}{f'-{self.part.word}' if self.part.shards else ''}{f'[{task}]' if task else ''}"

    def _print_logs(self, say: Callable[[str], None], last: bool = False) -> None:
        """Print the new lines of each log; opened anew each time, since only then a network's file system looks."""
        for path in sorted(self.place.glob(f"{self.part.word}.{self.number}*.log")):
            task = path.stem.partition("_")[2]
            with path.open("rb") as log:
                log.seek(self._read.get(path, 0))
                content = log.read()
            whole = content if last else content[: content.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                say(f"{self._name(task)} | {line}")

    def _ends(self, records: list[Record]) -> Outcome:
        """The outcome by what the nodes have left in the folder, or else by what the controller says."""
        by_task, late = {record.task: record for record in records}, time.monotonic() + LATE
        outcomes = [self._end(one, by_task.get(one.partition("_")[2]), late) for one in self._numbers()]
        failed = [outcome for outcome in outcomes if outcome.status]
        bad = [outcome for outcome in failed if outcome.status == BAD_INPUT]
        lasting = [outcome for outcome in failed if not outcome.again]
        return next(iter([*bad, *lasting, *failed]), Outcome(0))

    def _end(self, one: str, record: Record | None, late: float) -> Outcome:
        """How the job `one` ended; a status of which the controller knows nothing may arrive until `late`."""
        while record is None and not self._file(one).is_file() and time.monotonic() < late:
            time.sleep(0.2)
        status = int(self._file(one).read_text()) if self._file(one).is_file() else None
        if status is None and record and record.state in ("COMPLETED", "FAILED"):
            status = record.exit if record.exit or record.state == "COMPLETED" else None
        if status is not None:
            return Outcome(status, f"job {one} ended with status {status}" if status else "", status == PREEMPTED)
        if record is None:
            return Outcome(CRASHED, f"job {one} ended, and neither it nor Slurm says how; run it again")
        return Outcome(CRASHED, f"job {one} {end(record)}", record.state in SPARED)
