"""Submits the Jobs of a stage, attaches to those that are there, and follows them to their end."""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from executors.kubernetes import jobs
from executors.kubernetes.cluster import Cluster, finished
from executors.kubernetes.jobs import KEY_LABEL, STAGE_LABEL, Settings
from executors.kubernetes.kustomize import Manifest
from executors.tracking import git, graph
from executors.tracking.courier import Courier
from executors.walk import Plan, Walk, say, stale, word
from stages.lib.errors import BadInput

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def run(names: Sequence[str], settings: Settings) -> int:
    """Submit the stale stages among the named ones (or all) and those upstream, and take their results."""
    os.environ["EXECUTOR"] = "kubernetes"  # what DVC would run here, `stages/run` refuses
    found = stale(names)
    if found is None:
        return 0
    chosen, lost = found
    remote = graph.remote(settings.remote, settings.endpoint)
    for name in chosen:
        jobs.image(name, settings)  # bad configuration is found before anything is sent
    commit = git.committed("a pod could not have it")
    if urlsplit(url := remote.get("endpointurl", "")).hostname in LOOPBACK:
        say(f"{url} is this machine; in a pod it is the pod itself: say cluster.endpoint in k8s/params.yaml")
    courier = Courier()
    if not settings.repository:
        courier.send_bundle(commit)
    scheduler = Submitter(Cluster(settings.namespace), settings, courier)
    walk = Walk(scheduler, courier, commit, remote, lost)
    try:
        return walk.through(chosen)
    except KeyboardInterrupt:
        return walk.interrupted()


class Submitter:
    """`walk.Scheduler` on a cluster."""

    def __init__(self, cluster: Cluster, settings: Settings, courier: Courier) -> None:
        self.cluster, self.settings, self.courier = cluster, settings, courier

    def inputs(self, stage: str) -> dict[str, Any]:
        """The image of `stage`."""
        return {"image": jobs.image(stage, self.settings)}

    def asks_models(self, stage: str) -> bool:
        """Whether containers/stages.yaml says that `stage` keeps a journal."""
        return jobs.asks_models(stage)

    def stop(self, stage: str) -> None:
        """Delete the Jobs of `stage` and what they need."""
        stop(self.cluster, stage)

    def submit(self, plan: Plan) -> int:
        """Submit the Jobs of `plan` in turn, or attach to them, and follow each; the first status that is not 0."""
        objects, rendered = jobs.render(plan, self.settings)
        names = [job["metadata"]["name"] for job in rendered]
        self._clear(plan, names)
        # Where a later Job is there, the earlier ones have done their part; made anew (Jobs are kept for a time only)
        # they would work in the workspace of one that runs.
        first = max((number for number, name in enumerate(names) if self.cluster.job(name)), default=0)
        for job in rendered[first:]:
            name = job["metadata"]["name"]
            self._ensure(plan, job, objects, alone=len(rendered) == 1)
            outcome = self.cluster.follow(name, say)
            if outcome.status:
                say(f"{plan.stage}: {outcome.reason}")
                return int(outcome.status)
        return 0

    def _clear(self, plan: Plan, names: list[str]) -> None:
        """Remove Jobs that have succeeded and whose record somebody took away, to have it made again; and the volume,
        which lasts as long as their pods. The same where somebody is removing them."""
        there = [job for name in names if (job := self.cluster.job(name))]
        if there and there[-1].metadata.deletion_timestamp:
            say(f"{there[-1].metadata.name} is being deleted; waiting for the end of its pods")
        elif there and there[-1].metadata.name == names[-1] and finished(there[-1]) == "Complete":
            if self.courier.result(plan.key) is not None:
                return
            say(f"{names[-1]} succeeded, and its record is not on the remote any more; making it again")
        else:
            return
        for name in names:
            self.cluster.delete_job(name)
        self.tidy(plan)

    def tidy(self, plan: Plan) -> None:
        """A delivered stage needs no volume and no settings any more. (The Job goes by itself, `cluster.keep`.)"""
        objects, _ = jobs.render(plan, self.settings)
        self.cluster.delete_needs(plan.name, any(needed["kind"] == "Service" for needed in objects))

    def _ensure(self, plan: Plan, job: Manifest, objects: list[Manifest], alone: bool) -> None:
        """The Job is there and not failed: created, attached to, or, where an earlier one failed, made anew."""
        name = job["metadata"]["name"]
        there = self.cluster.job(name)
        state = finished(there) if there is not None else ""
        if state == "Complete":
            return  # what it needed may be gone, or on its way
        if state == "Failed":
            say(f"{name} failed before; submitting it again")
            self.cluster.release(plan.name)  # the workspace stays, with what was saved there
            self.cluster.delete_job(name)
            self.cluster.delete_settings(plan.name)  # they may be why
        for needed in objects:
            self.cluster.create(needed)  # before the Job, whose pod would wait for it
        if self.cluster.create(job):
            say(f"{name}: submitted")
        else:
            say(f"{name}: runs already; attached to it")
        there = self.cluster.job(name)
        if not alone or there is None:
            return
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": there.metadata.uid}
        for needed in objects:
            if needed["metadata"]["name"] == name:
                self.cluster.provide({**needed, "metadata": {**needed["metadata"], "ownerReferences": [owner]}})


def stop(cluster: Cluster, stage: str) -> None:
    """Delete the Jobs of `stage` and what they need. Raises `BadInput` if there is none."""
    for job in jobs_of(cluster, stage):
        cluster.delete_job(job.metadata.name)
        name = f"tidemill-{job.metadata.labels[STAGE_LABEL]}-{job.metadata.labels[KEY_LABEL]}"
        cluster.delete_needs(name, bool(job.spec.template.spec.subdomain))
        say(f"{job.metadata.name}: deleted")


def jobs_of(cluster: Cluster, stage: str) -> list[Any]:
    """The Jobs of `stage`, the oldest first. Raises `BadInput` if there is none."""
    found = cluster.jobs(f"{STAGE_LABEL}={word(stage)}")
    if not found:
        raise BadInput(f"there is no Job of {stage} in namespace {cluster.namespace}; `make k8s-status` lists them")
    return sorted(found, key=lambda job: str(job.metadata.creation_timestamp))
