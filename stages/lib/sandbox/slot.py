"""What a worker of the sandbox keeps from one run to the next."""

from stages.lib.sandbox import cgroup, languages
from stages.lib.sandbox.forkserver import ForkServer
from stages.lib.sandbox.javac import Javac
from stages.lib.sandbox.program import Limits
from stages.lib.sandbox.referee import Referee
from stages.lib.sandbox.walls import Isolation

TICK_S = 0.05  # between two looks at a run without a cgroup
# Of the CPU limit: a SIGKILL after more than that is the limit's. The kernel holds it by ticks, which were seen to run
# ahead of the time that it then reports by a quarter.
OUT_OF_CPU = 0.5
GRACE_S = 1.0  # for the last words of a process whose other side is gone


class Slot:
    """What a worker keeps from one run to the next: its referee, fork servers, Java compiler and cgroup."""

    def __init__(
        self, found: Isolation, limits: Limits, spare_processes: int, control: bool = True, hash_seed: int = 0
    ) -> None:
        self.isolation, self.limits, self.control, self.hash_seed = found, limits, control, hash_seed
        self.referee = Referee(found, limits)
        self.server = ForkServer(found, languages.PYTHON.with_hash_seed(hash_seed), limits)
        self.javac = Javac(found)
        self.jobs: dict[str, ForkServer] = {}
        self.group = cgroup.create(limits.model_copy(update={"processes": limits.processes + spare_processes}))

    def job_server(self, language: str) -> ForkServer:
        """What runs the jobs of a language."""
        if language not in self.jobs:
            self.jobs[language] = ForkServer(self.isolation, languages.toolchain(language), self.limits)
        return self.jobs[language]

    def close(self) -> None:
        self.referee.stop()
        self.server.stop()
        self.javac.stop()
        for server in self.jobs.values():
            server.stop()
        if self.group is not None:
            self.group.clear()
            self.group.close()
