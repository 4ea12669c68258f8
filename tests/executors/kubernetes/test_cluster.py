"""The submitter's client against an API server over real HTTP, with the faults that API servers have."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer, Fault
from kubernetes import client
from workspace import REPOSITORY

from executors.kubernetes.cluster import Cluster, describe, unschedulable, what_follows
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
    assert cluster.create(claim("work"))
    assert not cluster.create(claim("work"))
    holder = job("echo ready; sleep 600")
    holder["spec"]["template"]["spec"]["volumes"] = [{"name": "work", "persistentVolumeClaim": {"claimName": "work"}}]
    cluster.create(holder)
    until(lambda: server.logs)
    cluster.delete_needs("work", service=False)
    with pytest.raises(
        BadInput,
        match=r"the volume work was deleted 1 s ago but still exists; `kubectl .* persistentvolumeclaim work` names",
    ):
        cluster.create(claim("work"))


def claim(name: str, **metadata: Any) -> dict:
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, **metadata}, "spec": {}}


def settings(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"WORD": "there"}}


def owner(uid: str) -> dict:
    return {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": uid}]}


def until(true: Callable[[], object], what: object = "") -> None:
    give_up = time.monotonic() + 240
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def test_pods_of_a_job_that_is_deleted_may_save_and_the_job_stays_as_long(server: ApiServer, cluster: Cluster) -> None:
    """Deletion in the foreground: SIGTERM, the grace period, and the Job goes after its pods."""
    cluster.create(job("trap 'echo saved; exit 75' TERM; echo ready; while :; do sleep 0.1; done"))
    until(lambda: any(b"ready\n" in lines for lines in server.logs.values()))
    cluster.delete_job("job")
    assert [lines[-1] for lines in server.logs.values()] == [b"saved\n"]
    assert not server.objects


def test_a_job_that_does_not_go_is_not_waited_for_for_ever(server: ApiServer) -> None:
    cluster = Cluster("tidemill", patience=1)
    cluster.delete_job("job")  # there is none
    brief = job("sleep 600")
    brief["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    cluster.create(brief)
    server.collector.clear()  # as where a pod is on a node that is lost
    with pytest.raises(BadInput, match=r"the Job job was deleted 2 s ago but still exists; `kubectl .* job job` names"):
        cluster.delete_job("job")


def test_a_name_is_free_when_its_last_owner_is_gone(server: ApiServer, cluster: Cluster) -> None:
    """The API server says 409 of what is there and of what is on its way; the one is attached to, the other is not."""
    cluster.create(job("sleep 600"))
    server.collector.clear()
    cluster.batch.delete_namespaced_job("job", "tidemill", propagation_policy="Foreground")
    made: list[bool] = []
    again = threading.Thread(target=lambda: made.append(cluster.create(job("echo again"))))
    again.start()
    until(lambda: sum(line.startswith("POST") for line in server.requests) >= 3)
    assert not made
    server.collector.set()
    again.join(240)
    assert made == [True] and follow(cluster)[0] == 0


def test_a_quota_that_two_changed_at_once_is_no_object_that_is_there(server: ApiServer, cluster: Cluster) -> None:
    said = 'Operation cannot be fulfilled on resourcequotas "small": the object has been modified'
    server.faults.append(Fault("POST .*jobs", 409, message=said, times=2))
    assert cluster.create(job("echo"))


def test_the_garbage_collector_leaves_what_a_later_job_owns(server: ApiServer, cluster: Cluster) -> None:
    cluster.create(job("echo"))
    first = cluster.job("job").metadata.uid
    for name in "left", "work":
        cluster.provide(claim(name, **owner(first)))
    server.collector.clear()
    cluster.batch.delete_namespaced_job("job", "tidemill", propagation_policy="Foreground")
    cluster.provide(claim("work", **owner("another")))
    server.collector.set()
    until(lambda: cluster.job("job") is None)
    until(lambda: ("persistentvolumeclaims", "left") not in server.objects)
    assert ("persistentvolumeclaims", "work") in server.objects


def test_a_job_that_gets_neither_pod_nor_event_is_said_once(
    server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executors.kubernetes.cluster.SILENCE", 0.0)
    for _ in range(2):  # the second is another Job, under the name of the first
        server.controller.clear()
        server.requests.clear()
        cluster.create(job("echo here"))
        said: list[str] = []
        following = threading.Thread(target=cluster.follow, args=("job", said.append))
        following.start()
        until(lambda said=said: said)
        until(lambda: sum(line.startswith("GET") and "events" in line for line in server.requests) >= 2)
        server.controller.set()
        following.join(240)
        assert [line for line in said if "no pod" in line] == [
            "job: no pod: no event says why; does the cluster's Job controller run?"
        ]
        assert logged(said) == ["here"]
        cluster.delete_job("job")


INDEXED = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}


def test_the_pods_of_an_indexed_job_are_followed_by_their_index(server: ApiServer, cluster: Cluster) -> None:
    cluster.create(job("echo shard $JOB_COMPLETION_INDEX", **INDEXED))
    status, _, said = follow(cluster)
    assert status == 0
    by_pod = dict(line.split(" | ") for line in said if " | " in line)
    assert {name.split("-")[1]: line for name, line in by_pod.items()} == {f"{n}": f"shard {n}" for n in range(3)}


def test_bad_input_of_one_index_ends_them_all(server: ApiServer, cluster: Cluster, tmp_path: Path) -> None:
    # The one with bad input waits until the others run: a Job that has failed starts no more pods.
    others = f"touch {tmp_path}/$JOB_COMPLETION_INDEX; [ $JOB_COMPLETION_INDEX = 1 ] || exec sleep 600"
    bad = f"until [ -e {tmp_path}/0 ] && [ -e {tmp_path}/2 ]; do sleep 0.1; done; exit 3"
    cluster.create(job(f"{others}; {bad}", **INDEXED))
    assert follow(cluster)[0] == 3
    assert len(server.started) == 3
    assert all(process.wait(240) for process in server.processes.values())


def test_an_index_fails_on_its_own_account(server: ApiServer, cluster: Cluster) -> None:
    limits = {"backoffLimit": 6, "backoffLimitPerIndex": 1}
    cluster.create(job("[ $JOB_COMPLETION_INDEX = 1 ] && exit 9; exit 0", **INDEXED, **limits))
    assert follow(cluster)[0] == 9
    assert len(server.started) == 4, "the one that fails is tried once more, the others not"
    (failed,) = [one for one in server.objects["jobs", "job"]["status"]["conditions"] if one["type"] == "Failed"]
    assert failed["reason"] == "FailedIndexes", "and they end as if it were not there"


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


def test_a_log_goes_on_after_a_stream_that_seemed_to_end_and_in_a_new_file(
    server: ApiServer, cluster: Cluster, tmp_path: Path
) -> None:
    """A kubelet that restarts ends the stream like a pod does; one that rotates the log forgets what was read."""
    mark = tmp_path / "mark"
    server.faults.append(Fault("log", 0, after=True, times=5, clean=True))
    cluster.create(job(f"seq 50; while [ ! -e {mark} ]; do sleep 0.05; done; seq 51 60"))
    said: list[str] = []
    watcher = threading.Thread(target=cluster.follow, args=("job", said.append))
    watcher.start()
    until(lambda: logged(said) == [str(n) for n in range(1, 51)], said)
    pod, _ = server.pod_of("job")
    server.node_answers = False
    server.rotated[pod["metadata"]["name"]] = 45
    with server.changed:
        server.changed.notify_all()
    mark.touch()
    until(lambda: sum(line.endswith("/log") for line in server.requests) >= 9)  # for as long as it takes
    server.node_answers = True
    watcher.join(240)
    assert logged(said) == [str(n) for n in range(1, 61)], "every line once"


def test_a_log_that_nobody_may_read_does_not_keep_the_job(server: ApiServer, cluster: Cluster) -> None:
    server.may = {"create jobs", "get jobs", "list pods", "watch pods"}
    cluster.create(job("echo"))
    status, _, said = follow(cluster)
    assert status == 0 and any(
        'cannot read its log (pods is forbidden: User "test" cannot get' in line for line in said
    )


def test_the_end_is_looked_for_when_the_pods_have_ended(server: ApiServer, cluster: Cluster) -> None:
    """A Job is Complete a moment after the last change of its pods, of which no watch of pods tells."""
    held = job("echo")
    held["metadata"]["uid"] = "a"
    held["status"] = {}
    server.keep("jobs", held)
    over = {"phase": "Succeeded", "containerStatuses": []}
    metadata = {"name": "job-1", "labels": {"batch.kubernetes.io/job-name": "job"}}
    server.keep("pods", {"owner": "a", "metadata": metadata, "spec": {"containers": []}, "status": over})
    watcher = threading.Thread(target=cluster.follow, args=("job", print))
    watcher.start()
    until(lambda: sum("watch" in line for line in server.requests) >= 3)
    server.conclude(held, "Complete", "", "")
    watcher.join(240)
    assert not watcher.is_alive() and {query["timeoutSeconds"] for query in server.watches} == {"1"}


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
    server.may = {"get jobs"}
    with pytest.raises(BadInput, match=r"you may not create jobs in namespace tidemill"):
        cluster.create(job("echo"))


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (404, 'namespaces "tidemill" not found', "there is no namespace tidemill; `make k8s-setup` creates it"),
        (403, "jobs is forbidden: exceeded quota: small, requested: pods=1", "the cluster refuses: .*exceeded quota"),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted', "the cluster refuses: .*violates PodSecurity"),
        (
            403,
            'configmaps "x" is forbidden: unable to create new content in namespace tidemill because it is being '
            "terminated",
            "the cluster refuses: .*being terminated",
        ),
        (
            400,
            'Job in version "v1" cannot be handled as a Job: quantities must match',
            "the cluster rejects Job job: .*quantit",
        ),
        (
            422,
            "spec.backoffLimit: Invalid value: -1",
            "the cluster rejects Job job: spec.backoffLimit: Invalid value: -1",
        ),
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
    held["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": "new"}
    held["status"] = {}
    server.keep("jobs", held)  # and no controller makes a pod of it
    message = 'Error creating: pods "job-" is forbidden: error looking up service account: serviceaccount "s" not found'
    event = {"metadata": {"name": "e"}, "involvedObject": {"uid": "new"}, "type": "Warning", "message": message}
    server.keep("events", event)
    earlier = {"metadata": {"name": "f"}, "involvedObject": {"uid": "old"}, "type": "Warning", "message": "of the last"}
    server.keep("events", earlier)
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
    server.no_image = "not found"
    cluster.create(job("echo"))
    status, reason, _ = follow(cluster)
    assert status == 3
    assert "no such image: tidemill-cpu cannot be pulled (not found); run `make images-push REGISTRY=…`" in reason
    assert cluster.job("job") is None, "a Job that never starts is not left behind"


def test_a_registry_that_fails_for_a_while(server: ApiServer, cluster: Cluster) -> None:
    reason = "503 Service Unavailable"
    server.no_image = f'Back-off pulling image "x": ErrImagePull: failed to pull and unpack image "x": {reason}'
    cluster.create(job("echo"))

    def heal(line: str) -> None:
        with server.changed:
            server.no_image = "" if reason in line else server.no_image
            server.changed.notify_all()

    assert cluster.follow("job", heal).status == 0 and not server.no_image
    cluster.patience, server.no_image = 1, reason
    cluster.create(job("echo", "other"))
    status, why, _ = follow(cluster, "other")
    assert status == 3 and reason in why, "but not for ever"


def test_settings_that_are_on_their_way_are_waited_for(server: ApiServer, cluster: Cluster) -> None:
    """A Job is there before its settings are: their owner has to be."""
    late = job("echo $WORD")
    late["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "late"}}]
    cluster.create(late)
    said: list[str] = []

    def bring(line: str) -> None:
        said.append(line)
        if 'configmap "late" not found' in line:
            cluster.create(settings("late"))

    assert cluster.follow("job", bring).status == 0 and logged(said) == ["there"]


def test_a_pending_pod_says_why_and_runs_when_it_may(server: ApiServer, cluster: Cluster) -> None:
    server.unschedulable = (
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."
    )
    cluster.create(job("echo"))
    said: list[str] = []
    watcher = threading.Thread(target=cluster.follow, args=("job", said.append))
    watcher.start()
    wanted = "pending: 0 of 3 nodes have a free nvidia.com/gpu"
    give_up = time.monotonic() + 240
    while not any(wanted in line for line in said):
        assert time.monotonic() < give_up, said
        time.sleep(0.05)
    server.unschedulable = ""
    watcher.join(240)
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
    watcher.join(240)
    assert logged(said) == ["done"]
    assert len(server.started) == 2


def test_a_job_that_a_queue_holds_back_says_so(server: ApiServer, cluster: Cluster) -> None:
    held = job("echo once", suspend=True)
    held["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "research"
    cluster.create(held)
    _, _, said = follow(cluster)
    assert said.count("job: suspended until Kueue's queue research admits it") == 1


@pytest.mark.parametrize(
    ("ended", "conditions", "words"),
    [
        (
            None,
            [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}],
            "its node is lost",
        ),
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
    ("reason", "message", "ended", "words"),
    [
        (
            "Evicted",
            'Usage of EmptyDir volume "shm" exceeds the limit "1Gi". ',
            {"exitCode": 137},
            'ended with status 137: Evicted (Usage of EmptyDir volume "shm" exceeds the limit "1Gi".)',
        ),
        (
            "UnexpectedAdmissionError",
            "Pod was rejected: Allocate failed due to no healthy devices present",
            None,
            "failed: UnexpectedAdmissionError (Pod was rejected: Allocate failed due to no healthy devices present)",
        ),
    ],
)
def test_what_the_kubelet_says_of_a_pod(reason: str, message: str, ended: dict | None, words: str) -> None:
    states = [{"name": "stage", "image": "i", "imageID": "", "ready": False, "restartCount": 0}]
    statuses = [{**state, "state": {"terminated": ended}} for state in states if ended]
    pod = {"status": {"phase": "Failed", "reason": reason, "message": message, "containerStatuses": statuses}}
    assert describe(client.ApiClient().deserialize(json.dumps(pod), "V1Pod", "application/json")) == words


def failed_pod(code: int, shard: int = 0, disrupted: bool = False) -> Any:
    state = {"name": "stage", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    values = {
        "metadata": {"annotations": {"batch.kubernetes.io/job-completion-index": str(shard)}},
        "status": {
            "phase": "Failed",
            "containerStatuses": [{**state, "state": {"terminated": {"exitCode": code}}}],
            "conditions": [{"type": "DisruptionTarget", "status": "True"}] if disrupted else [],
        },
    }
    return client.ApiClient().deserialize(json.dumps(values), "V1Pod", "application/json")


def test_after_a_failed_pod_it_is_said_what_follows() -> None:
    def job(**spec: int) -> Any:
        values = {"spec": {"template": {"spec": {"containers": []}}, **spec}, "status": {}}
        return client.ApiClient().deserialize(json.dumps(values), "V1Job", "application/json")

    killed, again, other = failed_pod(137), failed_pod(1), failed_pod(137, shard=1)
    assert "killed by SIGKILL" in describe(killed)
    assert (
        what_follows(job(backoffLimit=3), [killed], killed) == "; another pod follows, and 2 of 3 retries are left then"
    )
    assert what_follows(job(backoffLimit=1), [killed, again], again) == "; no retry is left"
    shards = job(backoffLimit=6, backoffLimitPerIndex=2)
    assert what_follows(shards, [killed, again, other], other).endswith("1 of 2 retries are left then")
    for spared in (failed_pod(3), failed_pod(75), failed_pod(143, disrupted=True)):
        assert what_follows(job(backoffLimit=3), [spared], spared) == ""
    assert "at no cost" in describe(failed_pod(75))


ENDS_WHILE_READERS_SPEAK = """
import sys, threading, time
from executors.kubernetes.cluster import Followed

followed = Followed()

def read():
    while True:
        followed.speak(lambda words: print(words, flush=True), "a line of a log " * 20)

for number in range(20):
    followed.readers[str(number)] = threading.Thread(target=read, daemon=True)
    followed.readers[str(number)].start()
time.sleep(0.05)
followed.close(wait=0.05)
sys.exit(3)
"""


def test_a_reader_that_outlives_its_job_does_not_abort_the_process() -> None:
    for _ in range(10):
        ended = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", ENDS_WHILE_READERS_SPEAK],
            cwd=REPOSITORY,
            capture_output=True,
            timeout=60,
        )
        assert ended.returncode == 3, ended.stderr.decode()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient nvidia.com/gpu. no new claims "
            "to deallocate, preemption: 0/4 nodes are available: 1 Preemption is not helpful for scheduling, 3 No "
            "preemption victims found for incoming pod.",
            "0 of 4 nodes have a free nvidia.com/gpu; "
            "1 of 4 nodes are reserved by taints (cluster.tolerations in k8s/params.yaml)",
        ),
        (
            "0/3 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 2 Insufficient cpu.",
            "too little free cpu; 1 node(s) didn't match PersistentVolume's node affinity",
        ),
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 2 node(s) "
            "didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 No victims.",
            "1 of 3 nodes are not ready (`kubectl describe node` says why); "
            "2 of 3 nodes lack the labels in cluster.node_selector",
        ),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "0 of 3 nodes have a free nvidia.com/gpu"),
        (
            "0/2 nodes are available: 1 Insufficient memory, 1 Insufficient cpu.",
            "too little free memory; too little free cpu",
        ),
        (
            "0/5 nodes are available: 5 node(s) had untolerated taint {dedicated: ml}.",
            "5 of 5 nodes are reserved for dedicated (cluster.tolerations in k8s/params.yaml)",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "no volume for its workspace (check storage_class or shared_storage_class in k8s/params.yaml)",
        ),
        (
            "0/2 nodes are available: 1 node(s) were unschedulable, 1 Insufficient cpu.",
            "too little free cpu; 1 of 2 nodes are cordoned (`kubectl uncordon NODE` when they may be used again)",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unschedulable: }.",
            "1 of 1 nodes are cordoned (`kubectl uncordon NODE` when they may be used again)",
        ),
        ("something that nobody foresaw", "something that nobody foresaw"),
    ],
)
def test_pending_in_plain_words(message: str, words: str) -> None:
    assert unschedulable(message) == words
