"""SIGKILL of the submitter, of pods and of the node's kubelet: `python tests/soak/soak_cluster.py --kills 20 --seed 6`.

A small repository of real stages is submitted to the stand-in cluster (tests/support/apiserver.py), whose kubelet is a
process of its own here (tests/support/kubelet.py), and one of the three is killed at random moments, with all its
children where it has some; a submitter is started again, a kubelet after up to three seconds, a pod is the Job
controller's affair. At its end each run must have the undisturbed run's dvc.lock and root hashes; one pod for each Job,
and one more for each pod that was killed; no stage run again that a pod had finished; no Job, no volume and no settings
that nobody waits for. Prints the seed, and for each victim its kills and runs; exit status 1 if anything is otherwise.
CI runs a small sample (tests/executors/tracking/test_kills.py).
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]
import series  # noqa: E402
from apiserver import ApiServer  # noqa: E402
from clones import Street  # noqa: E402
from soak_kills import compare, damaged, state  # noqa: E402

VICTIMS = ("submitter", "pod", "kubelet")
KUBELET = REPOSITORY / "tests/support/kubelet.py"
IN_A_ROW = 7  # kills of one run at most
RETRIES = 3  # a Job's pod may fail so often (cluster.retries)
DOWN_S = 3.0  # seconds that a killed kubelet stays away at most


class Node(ApiServer):
    """The stand-in cluster with a kubelet that can be killed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pods = folder / "node"
        self.pods.mkdir(parents=True)

    def __enter__(self) -> "Node":
        super().__enter__()
        self.start_kubelet()
        return self

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        self.kubelet.kill()
        self.kubelet.wait()

    def start_kubelet(self) -> None:
        self.kubelet = subprocess.Popen([sys.executable, str(KUBELET), str(self.pods)], start_new_session=True)
        self.node_answers = True

    def kill_kubelet(self) -> None:
        self.node_answers = False
        self.kubelet.kill()
        self.kubelet.wait()

    def spawn(self, command: list[str], environment: dict[str, str], pod: str) -> "Held":  # type: ignore[override]
        held = Held(self, self.pods / pod)
        held.folder.mkdir()
        partial = held.folder / "spec.new"
        partial.write_text(json.dumps({"command": command, "environment": environment, "cwd": str(self.folder)}))
        partial.rename(held.folder / "spec.json")
        return held


class Held:
    """A pod that the kubelet's shim holds, with what `ApiServer` asks of a process. What it says and how it ended are
    known while there is a kubelet to tell."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.folder = node, folder

    @property
    def pid(self) -> int:
        while not (self.folder / "pid").exists():
            time.sleep(0.02)
        return int((self.folder / "pid").read_text())

    @property
    def stdout(self) -> Iterator[bytes]:
        """The log's lines, until the kubelet has reported the end."""
        while not (self.folder / "log").exists() and not self.node.closed:
            time.sleep(0.02)
        with (self.folder / "log").open("rb") as log:
            rest = b""
            while not self.node.closed:
                over = self.poll() is not None
                piece = log.read() if self.node.node_answers else b""
                *lines, rest = (rest + piece).split(b"\n")
                yield from (line + b"\n" for line in lines)
                if over:
                    return
                time.sleep(0.02)

    def poll(self) -> int | None:
        reported = self.folder / "reported"
        return int(reported.read_text()) if reported.exists() else None

    def wait(self) -> int:
        while (status := self.poll()) is None:
            if self.node.closed:
                return -signal.SIGKILL
            time.sleep(0.02)
        return status


def main(arguments: list[str]) -> int:
    """Run the series and return the exit status."""
    options = series.options(__doc__, arguments, kills=20, victims=VICTIMS)
    draw = random.Random(options.seed)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        home = Path(folder)
        undisturbed = Run(home / "undisturbed", "none", draw, 0)
        undisturbed.through()
        assert not undisturbed.problem, undisturbed.problem
        for victim in options.victims:
            kills = runs = 0
            started = time.monotonic()
            while kills < options.kills and runs < 5 * options.kills:
                runs += 1
                run = Run(home / f"{victim}-{runs}", victim, draw, min(IN_A_ROW, options.kills - kills))
                run.length, run.wanted = undisturbed.length, undisturbed.wanted
                run.through()
                kills += run.kills
                if run.problem:
                    failures += 1
                    print(f"{victim}, run {runs}: {run.problem}", flush=True)
                subprocess.run(["rm", "-rf", str(run.path)], check=True)
            print(f"{victim}: {kills} kills in {runs} runs ({time.monotonic() - started:.0f} s)", flush=True)
            failures += kills < options.kills
    print(f"{failures} failures")
    return 1 if failures else 0


class Run:
    """A submission from nothing to the end, its victim killed up to `most` times."""

    def __init__(self, path: Path, victim: str, draw: random.Random, most: int) -> None:
        self.path, self.victim, self.draw, self.most = path, victim, draw, most
        self.kills, self.problem, self.said = 0, "", ""
        self.length: dict[str, float] = {}
        self.wanted: dict = {}

    def through(self) -> None:
        """Submit, kill, submit again until it ends well, and look at what is left."""
        remote = self.path / "remote"
        self.street = Street(self.path / "host", str(remote))
        self.street.edit(
            "k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(remote=str(remote))
        )
        self.street.commit()
        with Node(self.path / "cluster") as self.node:
            started = time.monotonic()
            for _ in range(20):
                if self.submit() == 0 or self.problem:
                    break
            else:
                self.problem = f"it never ended well:\n{self.said}"
            took = time.monotonic() - started
            if not self.most:
                self.length = {"submitter": took, "kubelet": took / 4, "pod": took / 3}
                self.wanted = state(self.street)
            self.problem = self.problem or self.left()

    def submit(self) -> int:
        """One submitter's life; what it says is kept."""
        log = (self.path / "said").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "executors.kubernetes", "run"],
            cwd=self.street.path,
            env=self.street.env(KUBECONFIG=str(self.node.kubeconfig)),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        over = threading.Event()
        killer = threading.Thread(target=getattr(self, f"kill_{self.victim}"), args=(process, over))
        killer.start()
        try:
            status = process.wait(600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status, self.problem = process.wait(), "the submitter did not end within 600 seconds"
        over.set()
        killer.join()
        self.said = (self.path / "said").read_text()
        if status not in (0, -signal.SIGKILL):
            self.problem = self.problem or f"the submitter ended with status {status}:\n{self.said}"
        return status

    def kill_none(self, process: "subprocess.Popen[bytes]", over: threading.Event) -> None:
        """Nobody is killed."""

    def kill_submitter(self, process: "subprocess.Popen[bytes]", over: threading.Event) -> None:
        """The submitter and the `dvc` that it may have started; what runs on the cluster goes on."""
        if self.kills < self.most and not over.wait(self.draw.uniform(0, self.length["submitter"])):
            os.killpg(process.pid, signal.SIGKILL)
            self.kills += 1

    def kill_pod(self, process: "subprocess.Popen[bytes]", over: threading.Event) -> None:
        """Every process of the pod that runs."""
        while self.kills < self.most and not over.wait(self.draw.uniform(0, self.length["pod"])):
            for name, held in list(self.node.processes.items()):
                pods = sum(name.startswith(job) for job in self.node.started)
                alive = (held.folder / "pid").exists() and not (held.folder / "status").exists()
                if alive and pods <= RETRIES:
                    os.killpg(held.pid, signal.SIGKILL)
                    self.kills += 1
                    while held.poll() is None:
                        time.sleep(0.02)

    def kill_kubelet(self, process: "subprocess.Popen[bytes]", over: threading.Event) -> None:
        """The kubelet alone: pods go on without it, and it comes back."""
        while self.kills < self.most and not over.wait(self.draw.uniform(0, self.length["kubelet"])):
            self.node.kill_kubelet()
            self.kills += 1
            time.sleep(self.draw.uniform(0, DOWN_S))
            self.node.start_kubelet()

    def left(self) -> str:
        """What is wrong at the end; "" if nothing is."""
        wrong = compare(state(self.street), self.wanted) or damaged(self.street) or self.strays()
        if wrong:
            return f"{wrong}\n{self.said}"
        pods = len(self.node.started)
        again = self.street.run("executors.kubernetes", "run", KUBECONFIG=str(self.node.kubeconfig))
        if again.returncode or "nothing is stale" not in again.stdout or len(self.node.started) != pods:
            return f"a finished run is not believed:\n{again.stdout}{again.stderr}"
        clone = self.street.clone(self.path / "clone")
        took = clone.run("dvc", "repro", "--pull", "--allow-missing", EXECUTOR="kubernetes")
        return f"a clone cannot take the result:\n{took.stderr}" if took.returncode else ""

    def strays(self) -> str:
        """Pods that should not have been, and what should not be there any more."""
        jobs = set(self.node.started)
        more = self.kills if self.victim == "pod" else 0
        if len(self.node.started) != len(jobs) + more or len(jobs) != len(self.street.kept):
            return f"{len(self.node.started)} pods for {len(jobs)} Jobs and {more} killed pods: {self.node.started}"
        for job in jobs:
            logs = [
                b"".join(self.node.logs.get(name, [])).decode() for name in self.node.processes if name.startswith(job)
            ]
            done = [number for number, text in enumerate(logs) if "Updating lock file" in text]
            if any(re.search("^Running stage", text, re.MULTILINE) for text in logs[done[0] + 1 :] if done):
                return f"{job}: run again when it was done\n" + "\n".join(logs)
        for (kind, name), thing in self.node.objects.items():
            if kind == "jobs" and "conditions" not in thing["status"]:
                return f"Job {name} still runs"
            held = "deletionTimestamp" in thing["metadata"]  # by a pod that has ended, which its Job keeps for a time
            if (kind == "persistentvolumeclaims" and not held) or (
                kind == "configmaps" and not name.startswith("tidemill-pod-")
            ):
                return f"{kind} {name} is left"
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
