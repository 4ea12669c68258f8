"""The submitter's client against an API server over real HTTP, with the faults that API servers have."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer, Fault
from kubernetes import client

from k8s.cluster import Cluster, describe, unschedulable
from stages.lib.errors import BadInput


@pytest.fixture
def cluster(server: ApiServer) -> Cluster:
    return Cluster("tidemill", patience=20)


def job(script: str, name: str = "job", **spec: Any) -> dict:
    policy = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}},
    ]
    container = {"name": "stage", "image": "tidemill-cpu", "command": ["sh", "-c", script]}
    template = {"spec": {"containers": [container]}}
    body = {"backoffLimit": 1, "podFailurePolicy": {"rules": policy}, "template": template, **spec}
    labels = {"app.kubernetes.io/name": "tidemill"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": body}


def follow(cluster: Cluster, name: str = "job") -> tuple[int, str, list[str]]:
    said: list[str] = []
    outcome = cluster.follow(name, said.append)
    return outcome.status, outcome.reason, said


def logged(said: list[str]) -> list[str]:
    return [line.partition(" | ")[2] for line in said if " | " in line]


@pytest.mark.parametrize(("script", "status", "pods"), [("exit 0", 0, 1), ("exit 3", 3, 1), ("exit 9", 9, 2)])
def test_exit_statuses(server: ApiServer, cluster: Cluster, script: str, status: int, pods: int) -> None:
    assert cluster.create(job(f"echo one; echo two; {script}"))
    ended, _, said = follow(cluster)
    assert ended == status
    assert logged(said) == ["one", "two"] * pods
    assert len(server.started) == pods


def test_status_75_costs_no_attempt(server: ApiServer, cluster: Cluster, tmp_path: Path) -> None:
    count = tmp_path / "count"
    cluster.create(job(f"echo x >>{count}; [ $(wc -l <{count}) -ge 4 ] || exit 75", backoffLimit=0))
    assert follow(cluster)[0] == 0
    assert len(server.started) == 4


def test_a_volume_that_does_not_go_is_not_waited_for_for_ever(server: ApiServer) -> None:
    cluster = Cluster("tidemill", patience=1)
    cluster.wait_for_volume("work")  # there is none
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "work"}, "spec": {}}
    assert cluster.create(claim)
    with pytest.raises(BadInput, match=r"the volume work was deleted 1 s ago and is still there; `kubectl .* pvc"):
        cluster.wait_for_volume("work")


INDEXED = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}


def test_the_pods_of_an_indexed_job_are_followed_by_their_index(server: ApiServer, cluster: Cluster) -> None:
    cluster.create(job("echo shard $JOB_COMPLETION_INDEX", **INDEXED))
    status, _, said = follow(cluster)
    assert status == 0
    by_pod = dict(line.split(" | ") for line in said if " | " in line)
    assert {name.split("-")[1]: line for name, line in by_pod.items()} == {f"{n}": f"shard {n}" for n in range(3)}


def test_bad_input_of_one_index_ends_them_all(server: ApiServer, cluster: Cluster) -> None:
    cluster.create(job("[ $JOB_COMPLETION_INDEX = 1 ] && exit 3; sleep 600", **INDEXED))
    assert follow(cluster)[0] == 3
    assert len(server.started) == 3
    assert all(process.wait(60) for process in server.processes.values())


def test_an_index_fails_on_its_own_account(server: ApiServer, cluster: Cluster) -> None:
    limits = {"backoffLimit": 6, "backoffLimitPerIndex": 1}
    cluster.create(job("[ $JOB_COMPLETION_INDEX = 1 ] && exit 9; exit 0", **INDEXED, **limits))
    assert follow(cluster)[0] == 9
    assert len(server.started) == 4, "the one that fails is tried once more, the others not"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_a_create_whose_answer_is_lost_makes_one_job(
    server: ApiServer, cluster: Cluster, status: int, after: bool
) -> None:
    server.faults.append(Fault("POST .*jobs", status, after, headers={"Retry-After": "0.1"}))
    assert cluster.create(job("echo once")) is not after  # after a lost yes the Job is there: 409, attach
    assert follow(cluster)[0] == 0
    assert server.started == ["job"]


def test_two_submitters_make_one_job(server: ApiServer, cluster: Cluster) -> None:
    made: list[bool] = []
    threads = [threading.Thread(target=lambda: made.append(cluster.create(job("echo once")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]
    assert follow(cluster)[0] == 0
    assert server.started == ["job"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("watch", 410, times=3),
        Fault("watch", 500, times=2),
        Fault("watch", 0, after=True, times=3),
        Fault("GET .*jobs/", 500, times=3),
        Fault("GET .*jobs/", 429, times=3, headers={"Retry-After": "0.1"}),
        Fault("GET .*pods$", 0, times=3),
        Fault("log", 500, times=2),
        Fault("log", 0, times=2),
        Fault("log", 0, after=True, times=3),
    ],
    ids=str,
)
def test_a_job_is_followed_through_faults(server: ApiServer, cluster: Cluster, fault: Fault) -> None:
    server.faults.append(fault)
    lines = [f"line {number} of a log" for number in range(50)]
    cluster.create(job("for i in $(seq 0 49); do echo line $i of a log; done"))
    status, _, said = follow(cluster)
    assert status == 0
    assert fault.times == 0 or "watch" in fault.match
    assert logged(said) == lines, "every line once, in order, none cut"


def test_an_expired_token_is_read_again(server: ApiServer, cluster: Cluster) -> None:
    cluster.create(job("echo once; sleep 1; echo twice"))
    server.token = "second"
    server.write_kubeconfig()
    status, _, said = follow(cluster)
    assert status == 0
    assert logged(said) == ["once", "twice"]


def test_a_token_that_stays_expired(server: ApiServer, cluster: Cluster) -> None:
    server.token = "second"
    with pytest.raises(BadInput, match=r"does not know you .401.; log in to the cluster again"):
        cluster.create(job("echo"))


def test_no_permission_names_verb_and_resource(server: ApiServer, cluster: Cluster) -> None:
    server.faults.append(Fault("POST .*jobs", 403))
    with pytest.raises(BadInput, match=r"you may not create jobs in namespace tidemill"):
        cluster.create(job("echo"))


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (404, 'namespaces "tidemill" not found', "there is no namespace tidemill: `make k8s-setup` makes it"),
        (403, "jobs is forbidden: exceeded quota: small, requested: pods=1", "the cluster refuses: .*exceeded quota"),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted', "the cluster refuses: .*violates PodSecurity"),
        (422, "spec.backoffLimit: Invalid value: -1", "Job job is not taken: spec.backoffLimit: Invalid value: -1"),
    ],
)
def test_a_job_that_is_refused_says_why(
    server: ApiServer, cluster: Cluster, status: int, said: str, words: str
) -> None:
    server.faults.append(Fault("POST .*jobs", status, message=said))
    with pytest.raises(BadInput, match=words):
        cluster.create(job("echo"))


def test_a_job_that_gets_no_pod_says_why(server: ApiServer, cluster: Cluster) -> None:
    held = job("echo")
    held["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    held["status"] = {}
    server.keep("jobs", held)  # and no controller makes a pod of it
    message = 'Error creating: pods "job-" is forbidden: error looking up service account: serviceaccount "s" not found'
    event = {"metadata": {"name": "e"}, "involvedObject": {"name": "job"}, "type": "Warning", "message": message}
    server.keep("events", event)
    said: list[str] = []

    def end(line: str) -> None:
        said.append(line)
        server.conclude(held, "Complete", "", "")

    assert cluster.follow("job", end).status == 0
    assert said == [f"job: no pod: {message} (`make k8s-setup` makes it)"]


def test_no_cluster(server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cluster.patience = 0.5
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(BadInput, match=r"no cluster: http://127.0.0.1:.* does not answer"):
        cluster.create(job("echo"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(BadInput, match=r"no cluster: .*; set KUBECONFIG, or run here with EXECUTOR=local"):
        Cluster("tidemill")


def test_no_such_image_ends_the_job(server: ApiServer, cluster: Cluster) -> None:
    server.no_image = True
    cluster.create(job("echo"))
    status, reason, _ = follow(cluster)
    assert status == 3
    assert "no such image: tidemill-cpu cannot be pulled (not found); `make images-push REGISTRY=…`, or load" in reason
    assert cluster.job("job") is None, "a Job that never starts is not left behind"


def test_a_pending_pod_says_why_and_runs_when_it_may(server: ApiServer, cluster: Cluster) -> None:
    server.unschedulable = (
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."
    )
    cluster.create(job("echo"))
    said: list[str] = []
    watcher = threading.Thread(target=cluster.follow, args=("job", said.append))
    watcher.start()
    wanted = "pending: 0 of 3 nodes have a free nvidia.com/gpu"
    give_up = time.monotonic() + 60
    while not any(wanted in line for line in said):
        assert time.monotonic() < give_up, said
        time.sleep(0.05)
    server.unschedulable = ""
    watcher.join(60)
    assert any("ended with status 0" in line for line in said)


def test_a_killed_pod_is_replaced(server: ApiServer, cluster: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    cluster.create(job(f"[ -e {mark} ] && echo done && exit 0; touch {mark}; sleep 100"))
    said: list[str] = []
    watcher = threading.Thread(target=cluster.follow, args=("job", said.append))
    watcher.start()
    _, process = server.pod_of("job")
    while not mark.exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    watcher.join(60)
    assert logged(said) == ["done"]
    assert len(server.started) == 2


def test_a_job_that_a_queue_holds_back_says_so(server: ApiServer, cluster: Cluster) -> None:
    held = job("echo once", suspend=True)
    held["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "research"
    cluster.create(held)
    _, _, said = follow(cluster)
    assert said.count("job: suspended until Kueue's queue research lets it start") == 1


@pytest.mark.parametrize(
    ("ended", "conditions", "words"),
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, [], "ended with status 137: out of memory (resources in k8s/params"),
        ({"exitCode": 137, "reason": "Error"}, [], "ended with status 137"),
        (
            None,
            [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "TerminationByKubelet",
                    "message": "disk is low",
                }
            ],
            "evicted (TerminationByKubelet: disk is low): another pod takes over, at no cost",
        ),
    ],
)
def test_an_end_in_plain_words(ended: dict | None, conditions: list[dict], words: str) -> None:
    state = {"terminated": ended} if ended else {"running": {}}
    container = {"name": "stage", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    pod = {"status": {"phase": "Failed", "containerStatuses": [container], "conditions": conditions}}
    assert describe(client.ApiClient().deserialize(json.dumps(pod), "V1Pod", "application/json")).startswith(words)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "0 of 3 nodes have a free nvidia.com/gpu"),
        (
            "0/2 nodes are available: 1 Insufficient memory, 1 Insufficient cpu.",
            "too little free memory; too little free cpu",
        ),
        (
            "0/5 nodes are available: 5 node(s) had untolerated taint {dedicated: ml}.",
            "5 of 5 nodes are kept for dedicated (cluster.tolerations in k8s/params.yaml)",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "no volume is offered for its workspace (storage_class, or shared_storage_class, in k8s/params.yaml)",
        ),
        ("something that nobody foresaw", "something that nobody foresaw"),
    ],
)
def test_pending_in_plain_words(message: str, words: str) -> None:
    assert unschedulable(message) == words
