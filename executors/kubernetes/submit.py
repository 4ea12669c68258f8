"""Submits a stage's Jobs, attaches to existing ones, and follows them to their end."""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from executors import container
from executors.kubernetes import jobs
from executors.kubernetes.cluster import Cluster, finished
from executors.kubernetes.jobs import KEY_LABEL, STAGE_LABEL, Settings
from executors.kubernetes.kustomize import Manifest
from executors.order import say
from executors.tracking import git, graph
from executors.tracking.courier import Courier
from executors.walk import Plan, Walk, stale, word
from stages.lib.errors import BadInput

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def run(names: Sequence[str], settings: Settings) -> int:
    """Submit the stale ones of the named stages (or all) and of those upstream, and fetch their results."""
    os.environ["EXECUTOR"] = "kubernetes"  # makes `stages/run` refuse what DVC would run here
    found = stale(names)
    if found is None:
        return 0
    chosen, lost = found
    remote = graph.remote(settings.remote, settings.endpoint)
    for name in chosen:
        jobs.image(name, settings)  # find bad configuration before sending anything
    commit = git.committed("pods could not fetch them")
    if urlsplit(url := remote.get("endpointurl", "")).hostname in LOOPBACK:
        say(f"{url} is this machine, but in a pod it is the pod itself; set cluster.endpoint in k8s/params.yaml")
    courier = Courier()
    if not settings.repository:
        courier.send_bundle(commit)
    scheduler = Submitter(Cluster(settings.namespace), settings, courier)
    return Walk(scheduler, courier, commit, remote, lost).run(chosen)


class Submitter:
    """`walk.Scheduler` on a cluster."""

    stopping = "make k8s-stop STAGE=…"

    def __init__(self, cluster: Cluster, settings: Settings, courier: Courier) -> None:
        self.cluster, self.settings, self.courier = cluster, settings, courier

    def inputs(self, stage: str) -> dict[str, Any]:
        """The image of `stage`."""
        return {"image": jobs.image(stage, self.settings)}

    def asks_models(self, stage: str) -> bool:
        """Whether `stage` keeps a journal, by containers/stages.yaml."""
        return container.asks_models(stage)

    def stop(self, stage: str) -> None:
        """Delete the Jobs of `stage` and what they need."""
        stop(self.cluster, stage)

    def submit(self, plan: Plan) -> int:
        """Submit the Jobs of `plan` in turn, or attach to them, and follow each; returns the first nonzero status."""
        objects, rendered = jobs.render(plan, self.settings)
        names = [job["metadata"]["name"] for job in rendered]
        self._clear(plan, names)
        # If a later Job exists, the earlier ones are done (and may have expired); created again, they would interfere
        # with its workspace.
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
        """Remove Jobs that succeeded but whose record somebody deleted, to make the stage again, and their volume,
        which lasts as long as their pods. Also wait for Jobs that are being deleted."""
        there = [job for name in names if (job := self.cluster.job(name))]
        if there and there[-1].metadata.deletion_timestamp:
            say(f"{there[-1].metadata.name} is being deleted; waiting for its pods to end")
        elif there and there[-1].metadata.name == names[-1] and finished(there[-1]) == "Complete":
            if self.courier.result(plan.key) is not None:
                return
            say(f"{names[-1]} succeeded, but its record is no longer on the remote; running it again")
        else:
            return
        for name in names:
            self.cluster.delete_job(name)
        self.tidy(plan)

    def tidy(self, plan: Plan) -> None:
        """Delete a delivered stage's volume and settings. (Its Job expires after `cluster.keep`.)"""
        objects, _ = jobs.render(plan, self.settings)
        self.cluster.delete_needs(plan.name, any(needed["kind"] == "Service" for needed in objects))

    def _ensure(self, plan: Plan, job: Manifest, objects: list[Manifest], alone: bool) -> None:
        """Make sure that the Job exists and has not failed: create it, attach to it, or replace a failed one."""
        name = job["metadata"]["name"]
        there = self.cluster.job(name)
        state = finished(there) if there is not None else ""
        if state == "Complete":
            return  # its resources may be gone already
        if state == "Failed":
            say(f"{name} failed before; submitting it again")
            self.cluster.release(plan.name)  # the workspace stays, with its saves
            self.cluster.delete_job(name)
            self.cluster.delete_settings(plan.name)  # they may be the cause
        for needed in objects:
            self.cluster.create(needed)  # first, or the Job's pod would wait for it
        if self.cluster.create(job):
            say(f"{name}: submitted")
        else:
            say(f"{name}: already running; attached to it")
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
    """The Jobs of `stage`, oldest first. Raises `BadInput` if there are none."""
    found = cluster.jobs(f"{STAGE_LABEL}={word(stage)}")
    if not found:
        raise BadInput(f"there is no Job of {stage} in namespace {cluster.namespace}; `make k8s-status` lists them")
    return sorted(found, key=lambda job: str(job.metadata.creation_timestamp))
