"""Runs stages on a Kubernetes cluster: `EXECUTOR=kubernetes make`.

    python -m k8s.submit run [STAGE …]    what is stale, each stage a Job, side by side where the graph allows
    python -m k8s.submit render [STAGE …] print the manifests; needs no cluster
    python -m k8s.submit setup            create the namespace, the account and the network policies
    python -m k8s.submit status | logs STAGE | stop STAGE

Exit status: the stage's own (0, 3, 75 or a crash's), 130 when interrupted. Killed at any moment, the same command
attaches to what runs.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML

from k8s import jobs, pipeline
from k8s.jobs import APP, KEY_LABEL, STAGE_LABEL, Plan, Settings
from k8s.kustomize import Manifest
from stages.lib import artifacts, transfer
from stages.lib.errors import BadInput

INTERRUPTED = 130
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_printing, _dvc_turn = threading.Lock(), threading.Lock()


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    parser = argparse.ArgumentParser(
        prog="k8s.submit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=["run", "render", "setup", "status", "logs", "stop"])
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    options = parser.parse_args(arguments)
    settings = jobs.load_settings()
    try:
        if options.command == "render":
            return render(options.stages, settings)
        if options.command == "run":
            return run(options.stages, settings)
        return _ask_cluster(options.command, options.stages, settings)
    except BadInput as error:
        print(f"k8s: {error}", file=sys.stderr)
        return 3


def render(names: list[str], settings: Settings) -> int:
    """Print what would be submitted, for the named stages or all."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    manifests = jobs.static(settings)
    for stage in _select(pipeline.load(), names).values():
        plan = Plan(stage.name, _inputs(stage, settings), "HEAD", "", {"url": settings.remote or "s3://bucket/path"})
        manifests += [manifest for part in jobs.render(plan, settings) for manifest in part]
    unique = {json.dumps(manifest, sort_keys=True): manifest for manifest in manifests}
    yaml.dump_all(unique.values(), sys.stdout)
    return 0


def run(names: list[str], settings: Settings) -> int:
    """Submit the stale stages among the named ones (or all) and those upstream, and take their results."""
    from k8s.cluster import Cluster

    os.environ["EXECUTOR"] = "kubernetes"  # what DVC would run here, `stages/run` refuses
    chosen = _with_upstream(pipeline.load(), names)
    fresh = all(stage.fresh for stage in chosen.values())
    if fresh and all(Path(path).exists() for stage in chosen.values() for path in stage.writes):
        _say("nothing is stale")
        return 0
    remote, lost = pipeline.remote(settings.remote, settings.endpoint), _lost(chosen)
    if fresh and not lost:
        _say("nothing is stale; `make pull` brings what is not here")
        return 0
    for name in chosen:
        jobs.image(name, settings)  # bad configuration is found before anything is sent
    commit = pipeline.commit()
    if urlsplit(found := remote.get("endpointurl", "")).hostname in LOOPBACK:
        _say(f"{found} is this machine; in a pod it is the pod itself: say cluster.endpoint in k8s/params.yaml")
    courier = Courier()
    if not settings.repository:
        courier.send_bundle(commit)
    cluster = Cluster(settings.namespace)
    walk = Walk(cluster, settings, courier, commit, remote, lost)
    try:
        return walk.through(list(chosen))
    except KeyboardInterrupt:
        return walk.interrupted()


class Courier:
    """What travels beside the data on DVC's default remote: the commit as a bundle, dvc.lock, result records."""

    def __init__(self) -> None:
        from dvc.repo import Repo

        with Repo() as repo:
            found = repo.cloud.get_remote()
            self.fs, self.root, self.url = found.fs, found.path, repo.config["remote"][found.name]["url"]

    def send_bundle(self, commit: str) -> None:
        """Put the commit on the remote, unless it is there."""
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "bundle"
            pipeline.write_bundle(bundle)
            self._put(bundle, "bundles", f"{commit}.bundle")

    def send_lock(self) -> str:
        """Put this workspace's dvc.lock on the remote under its sha256, which is returned."""
        lock = Path("dvc.lock")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "lock"
            copy.write_bytes(lock.read_bytes() if lock.is_file() else b"schema: '2.0'\nstages: {}\n")
            name = hashlib.sha256(copy.read_bytes()).hexdigest()
            self._put(copy, "locks", name)
        return name

    def result(self, key: str) -> dict[str, Any] | None:
        """The record that a pod left when it had delivered, or None."""
        path = self.path("results", f"{key}.json")
        try:
            if not self.fs.exists(path):
                return None
            with self.fs.open(path, "rb") as stream:
                return dict(json.loads(stream.read()))
        except Exception as error:
            raise self._refused(error) from None

    def path(self, *names: str) -> str:
        """Where something of ours lies on the remote."""
        return str(self.fs.join(self.root, "tidemill", *names))

    def _put(self, source: Path, *names: str) -> None:
        target = self.path(*names)
        try:
            if self.fs.exists(target):
                return
            self.fs.makedirs(self.fs.parent(target), exist_ok=True)
            partial = f"{target}.{uuid.uuid4().hex}"  # nobody finds half a file under its name
            self.fs.put_file(str(source), partial)
            self.fs.move(partial, target)
        except Exception as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> BadInput:
        # Each backend raises errors of its own; all of them mean that the remote cannot be used as it is.
        return BadInput(
            f"the remote {self.url} cannot be used: {type(error).__name__}: {error}; check its credentials (for S3 "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and its address (`dvc remote list`)"
        )


class Walk:
    """One run over the graph: a stage is submitted as soon as all that it reads from is done."""

    def __init__(
        self, cluster: Any, settings: Settings, courier: Courier, commit: str, remote: dict[str, str], lost: set[str]
    ) -> None:
        self.cluster, self.settings, self.courier = cluster, settings, courier
        self.commit, self.remote, self.lost = commit, remote, lost
        self.running: dict[str, Plan] = {}

    def through(self, names: list[str]) -> int:
        """Submit `names` (upstream first) as they become ready; 0, or the status of the first that failed."""
        status = 0
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(len(names), 1))
        started: dict[concurrent.futures.Future[int], str] = {}
        done: set[str] = set()
        while True:
            with _dvc_turn:  # dvc.lock is written in place: half of it would make another stage's key
                stages = pipeline.load()
            fresh = {name for name in names if stages[name].fresh} - self.lost
            done |= fresh - set(started.values())
            ready = [name for name in names if name not in done and name not in started.values()]
            for name in ready if not status else []:
                if stages[name].upstream <= done:
                    started[pool.submit(self.one, stages[name])] = name
            waiting = {future for future, name in started.items() if name not in done and not future.done()}
            if not waiting and not any(not future.done() for future in started):
                unseen = [future for future, name in started.items() if name not in done]
                if not unseen or status:
                    return status
            finished, _ = concurrent.futures.wait(
                [future for future, name in started.items() if name not in done],
                return_when=concurrent.futures.FIRST_COMPLETED,
            )
            for future in finished:
                name = started.pop(future)
                result = future.result()
                if result:
                    status = status or result
                    names = [other for other in names if other != name]
                else:
                    done.add(name)

    def one(self, stage: pipeline.Stage) -> int:
        """One stage: from the run cache if a pod has delivered it, else by its Jobs; then here, verified."""
        with _dvc_turn:
            if stage.reads and transfer.main(["push", "--quiet", *stage.reads]):
                raise BadInput(f"{stage.name}: its inputs cannot be pushed; `make verify REMOTE=1` says what is wrong")
            _share_journal(stage.name, "publish")  # so that no pod pays for what is answered
            lock = self.courier.send_lock()
        plan = Plan(stage.name, _inputs(stage, self.settings), self.commit, lock, self.remote)
        if self.courier.result(plan.key) is None:
            self.running[stage.name] = plan
            status = self._submit(plan)
            if status:
                return status
            self.running.pop(stage.name)
        self._tidy(plan)  # also after a submitter that did not live to do it
        return self.take(stage, plan)

    def take(self, stage: pipeline.Stage, plan: Plan) -> int:
        """Take a delivered result from DVC's run cache, without running anything, and verify it."""
        from dvc.cli import main as dvc

        record = self.courier.result(plan.key)
        if record is None:
            _say(f"{stage.name}: its Job succeeded and left no record on the remote; run it again")
            return 1
        with _dvc_turn:
            # What is lost DVC has to miss; of any other stage the inputs need not be here.
            missing = () if stage.name in self.lost else ("--allow-missing",)
            failed = dvc(["repro", "--quiet", "--pull", *missing, "--single-item", stage.name])
            _share_journal(stage.name, "bring")
        if failed:
            _say(f"{stage.name}: delivered, and cannot be taken: {self._damage(record)}")
            return 3
        for path, root in record["roots"].items():
            found = artifacts.open(path).root
            if found != root:
                raise BadInput(f"{path} arrived as {found}, its pod sealed {root}; `dvc pull --force {path}`")
        _say(f"{stage.name}: here and verified")
        return 0

    def _damage(self, record: dict[str, Any]) -> str:
        from stages.lib.verify import check_remote

        problems = [problem for _, problem in check_remote(record["outs"]) if problem]
        path = self.courier.path("results", f"{record['key']}.json")
        return "\n  ".join([*problems, f"or remove {path} on the remote to have it made again"])

    def _submit(self, plan: Plan) -> int:
        objects, rendered = jobs.render(plan, self.settings)
        names = [job["metadata"]["name"] for job in rendered]
        self._clear(plan, names)
        # Where a later Job is there, the earlier ones have done their part; made anew (Jobs are kept for a time only)
        # they would work in the workspace of one that runs.
        first = max((number for number, name in enumerate(names) if self.cluster.job(name)), default=0)
        for job in rendered[first:]:
            name = job["metadata"]["name"]
            self._ensure(plan, job, objects, alone=len(rendered) == 1)
            outcome = self.cluster.follow(name, _say)
            if outcome.status:
                _say(f"{plan.stage}: {outcome.reason}")
                return int(outcome.status)
        return 0

    def _clear(self, plan: Plan, names: list[str]) -> None:
        """Remove Jobs that have succeeded and whose record somebody took away, to have it made again; and the volume,
        which lasts as long as their pods. The same where somebody is removing them."""
        from k8s import cluster

        there = [job for name in names if (job := self.cluster.job(name))]
        if there and there[-1].metadata.deletion_timestamp:
            _say(f"{there[-1].metadata.name} is being deleted; waiting for the end of its pods")
        elif there and there[-1].metadata.name == names[-1] and cluster.finished(there[-1]) == "Complete":
            if self.courier.result(plan.key) is not None:
                return
            _say(f"{names[-1]} succeeded, and its record is not on the remote any more; making it again")
        else:
            return
        for name in names:
            self.cluster.delete_job(name)
        self._tidy(plan)

    def _tidy(self, plan: Plan) -> None:
        """A delivered stage needs no volume and no settings any more. (The Job goes by itself, `cluster.keep`.)"""
        objects, _ = jobs.render(plan, self.settings)
        self.cluster.delete_needs(plan.name, any(needed["kind"] == "Service" for needed in objects))

    def _ensure(self, plan: Plan, job: Manifest, objects: list[Manifest], alone: bool) -> None:
        """The Job is there and not failed: created, attached to, or, where an earlier one failed, made anew."""
        from k8s import cluster

        name = job["metadata"]["name"]
        there = self.cluster.job(name)
        state = cluster.finished(there) if there is not None else ""
        if state == "Complete":
            return  # what it needed may be gone, or on its way
        if state == "Failed":
            _say(f"{name} failed before; submitting it again")
            self.cluster.release(plan.name)  # the workspace stays, with what was saved there
            self.cluster.delete_job(name)
            self.cluster.delete_settings(plan.name)  # they may be why
        for needed in objects:
            self.cluster.create(needed)  # before the Job, whose pod would wait for it
        if self.cluster.create(job):
            _say(f"{name}: submitted")
        else:
            _say(f"{name}: runs already; attached to it")
        there = self.cluster.job(name)
        if not alone or there is None:
            return
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": there.metadata.uid}
        for needed in objects:
            if needed["metadata"]["name"] == name:
                self.cluster.provide({**needed, "metadata": {**needed["metadata"], "ownerReferences": [owner]}})

    def interrupted(self) -> int:
        """Ctrl-C: leave what runs, or delete it; without a terminal to ask on it is left."""
        names = sorted(self.running)
        if names and sys.stdin.isatty():
            answer = input(f"\n{', '.join(names)}: leave running (Enter) or delete (d)? ")
            if answer.strip().lower().startswith("d"):
                names = [name for name in names if not self._stopped(name)]
        if names:
            _say(f"left running: {', '.join(names)}; the same command attaches to it, `make k8s-stop STAGE=…` ends it")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            _dvc_turn.acquire(timeout=10)  # DVC writes dvc.lock in place
        os._exit(INTERRUPTED)  # threads still follow the Jobs

    def _stopped(self, stage: str) -> bool:
        try:
            return _stop(self.cluster, stage) == 0
        except BadInput as error:
            _say(f"{stage}: {error}")
            return False


def _ask_cluster(command: str, names: list[str], settings: Settings) -> int:
    from k8s.cluster import Cluster, describe, finished

    cluster = Cluster(settings.namespace)
    if command == "setup":
        for manifest in jobs.static(settings):
            what = f"{manifest['kind']} {manifest['metadata']['name']}"
            try:
                created = cluster.create(manifest)
                if not created and manifest["kind"] == "NetworkPolicy":
                    cluster.replace(manifest)  # it may have been edited since
                _say(f"{what}: {'created' if created else 'there'}")
            except BadInput as error:
                if manifest["kind"] != "Namespace":
                    raise
                _say(f"{what}: {error}; taken to be there")  # its owner need not be its maker
        return 0
    if command == "status":
        found = cluster.jobs(",".join("=".join(pair) for pair in APP.items()))
        for job in found:
            state = finished(job) or ("suspended" if job.spec.suspend else "active")
            words = "; ".join(f"{pod.metadata.name} {describe(pod)}" for pod in cluster.pods(job.metadata.name))
            _say(f"{job.metadata.name}  {state}  {words}")
        if not found:
            _say("no Jobs")
        return 0
    if len(names) != 1:
        raise BadInput(f"say which: make k8s-{command} STAGE=train")
    if command == "stop":
        return _stop(cluster, names[0])
    found = _jobs_of(cluster, names[0])
    return int(cluster.follow(found[-1].metadata.name, _say).status)


def _stop(cluster: Any, stage: str) -> int:
    for job in _jobs_of(cluster, stage):
        cluster.delete_job(job.metadata.name)
        name = f"tidemill-{job.metadata.labels[STAGE_LABEL]}-{job.metadata.labels[KEY_LABEL]}"
        cluster.delete_needs(name, bool(job.spec.template.spec.subdomain))
        _say(f"{job.metadata.name}: deleted")
    return 0


def _jobs_of(cluster: Any, stage: str) -> list[Any]:
    found = cluster.jobs(f"{STAGE_LABEL}={jobs.word(stage)}")
    if not found:
        raise BadInput(f"there is no Job of {stage} in namespace {cluster.namespace}; `make k8s-status` lists them")
    return sorted(found, key=lambda job: str(job.metadata.creation_timestamp))


def _inputs(stage: pipeline.Stage, settings: Settings) -> dict[str, Any]:
    return {**stage.inputs, "image": jobs.image(stage.name, settings)}


def _select(stages: dict[str, pipeline.Stage], names: list[str]) -> dict[str, pipeline.Stage]:
    if unknown := sorted(set(names) - stages.keys()):
        raise BadInput(f"dvc.yaml has no stage {unknown[0]}; it has {', '.join(stages)}")
    return {name: stage for name, stage in stages.items() if not names or name in names}


def _with_upstream(stages: dict[str, pipeline.Stage], names: list[str]) -> dict[str, pipeline.Stage]:
    wanted = set(_select(stages, names))
    for name in reversed(list(stages)):
        if name in wanted:
            wanted |= stages[name].upstream
    return {name: stage for name, stage in stages.items() if name in wanted}


def _lost(stages: dict[str, pipeline.Stage]) -> set[str]:
    """Stages whose result dvc.lock has and nobody else: in a clone, or with another remote. They are made again, as
    `dvc repro` would."""
    made = {path: name for name, stage in stages.items() if stage.fresh for path in stage.writes}
    return {made[path] for path in transfer.nowhere(made)} if made else set()


def _share_journal(stage: str, how: str) -> None:
    """Exchange answers with the remote (stages/lib/teacher/sharing.py), for a stage that asks models; without what the
    module has to say when all is well."""
    command = [sys.executable, "-m", "stages.lib.teacher", how]
    if jobs.asks_models(stage) and subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise BadInput(f"{stage}: the journal cannot be shared (`python {' '.join(command[1:])}` says why)")


def _say(line: str) -> None:
    with _printing:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
