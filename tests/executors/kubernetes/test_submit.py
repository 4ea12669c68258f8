"""EXECUTOR=kubernetes from end to end: real stages through Jobs of a stand-in cluster, a real remote, real DVC."""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import endpoint
import pytest
from apiserver import ApiServer, Fault
from clones import KEPT, Street
from instances import prepare
from ruamel.yaml import YAML
from workspace import REPOSITORY, Workspace

from executors import walk
from executors.tracking import graph

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def server(server: ApiServer) -> ApiServer:
    """Whose user may do what k8s/submitter.yaml says, and nothing else."""
    role = YAML(typ="safe").load(REPOSITORY / "k8s/submitter.yaml")
    server.may = {
        f"{verb} {resource}" for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    return server


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return make_street(tmp_path)


def make_street(tmp_path: Path, *more: str) -> Street:
    remote = tmp_path / "remote"
    street = Street(tmp_path / "host", str(remote), (*KEPT, *more))
    street.edit("k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(remote=str(remote)))
    street.commit()
    return street


def roots(street: Street) -> dict[str, str]:
    seals = sorted((street.path / "data").rglob("artifact.json"))
    return {str(seal.parent.relative_to(street.path)): json.loads(seal.read_text())["root"] for seal in seals}


def volumes(server: ApiServer) -> list[str]:
    """Those that nobody has deleted: a deleted one is there while its Job keeps the pods that name it."""
    claims = {name: thing for (kind, name), thing in server.objects.items() if kind == "persistentvolumeclaims"}
    return [name for name, thing in claims.items() if "deletionTimestamp" not in thing["metadata"]]


@pytest.mark.slow
def test_the_cluster_makes_what_this_machine_makes_and_a_finished_run_costs_nothing(
    street: Street, server: ApiServer, tmp_path: Path
) -> None:
    table = "containers/stages.yaml"
    street.edit(table, table, lambda values: values["filter"].update(isolated=True))
    street.commit()
    street.git("clone", "--quiet", ".", str(tmp_path / "local"))
    local = object.__new__(Street)
    local.path = tmp_path / "local"
    ran = local.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr

    ran = street.run("executors.kubernetes", "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(server.started) == 4, "collect's pod; filter, as a stage that is isolated, has three"
    assert roots(street) == roots(local)
    assert (street.path / "dvc.lock").read_text() == (local.path / "dvc.lock").read_text()
    assert not volumes(server), "no volume is left"

    pods = len(server.started)
    assert "where the time went\n  collect " in ran.stdout
    again = street.run("executors.kubernetes", "run")
    assert again.returncode == 0 and "nothing is stale" in again.stdout
    other = street.clone(tmp_path / "other")  # a colleague at the same commit, who has nothing yet
    ran = other.run("executors.kubernetes", "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert roots(other) == roots(local)
    assert len(server.started) == pods, "what is delivered is not run again"


@pytest.mark.slow
def test_a_stage_in_shards_one_of_them_killed_makes_what_one_run_makes(server: ApiServer, tmp_path: Path) -> None:
    """embed in three pods, each with a workspace of its own: their saves travel by the remote."""
    street = make_street(tmp_path, "embed")
    small = {"batch_rows": 1, "shard_batches": 1, "threads": 1, "device": "cpu"}
    street.edit("params.yaml", "params.yaml", lambda values: values["embed"].update(small))
    shards = {"default": {"cpu": "1", "memory": "1Gi"}, "embed": {"cpu": "1", "memory": "1Gi", "shards": 3}}
    street.edit("k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(resources=shards))
    street.commit()
    whole = street.clone(tmp_path / "whole")
    ran = whole.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert street.dvc("repro", "filter").returncode == 0

    process = street.start("executors.kubernetes", "run", "embed")
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if "-shards-1-" in line and "encoded shard" in line:
            break
    else:
        pytest.fail("pod 1 said nothing of what it encoded:\n" + "".join(said))
    os.killpg(server.processes[line.partition(" | ")[0]].pid, signal.SIGKILL)
    said += process.stdout.readlines()
    assert process.wait(240) == 0, "".join(said)
    assert sorted(name.rpartition("-")[2] for name in server.started)[1:] == ["shards"] * 4, "one of three again"
    assert roots(street) == roots(whole)
    assert (street.path / "dvc.lock").read_text() == (whole.path / "dvc.lock").read_text()
    made = [(line.partition(" | ")[0], line.partition("encoded ")[2]) for line in said if "encoded shard" in line]
    assert {pod.rsplit("-", 2)[1] for pod, _ in made} == {"0", "1", "2"}, "the last Job made none"
    unmoved = [save for pod, save in made if pod.rsplit("-", 2)[1] != "1"]
    assert len(unmoved) == len(set(unmoved)) and len(made) >= 12
    assert not list((tmp_path / "remote/tidemill/saves").glob("*/*")), "what is delivered keeps no saves"
    assert not volumes(server)


@pytest.mark.slow
def test_a_job_that_has_done_its_part_is_not_made_anew_beside_the_next(street: Street, server: ApiServer) -> None:
    """A finished Job is kept for a time only, and the next one may run for longer, in the same workspace."""
    table = "containers/stages.yaml"
    street.edit(table, table, lambda values: values["collect"].update(isolated=True))
    street.commit()
    first = street.start("executors.kubernetes", "run", "collect")
    assert first.stdout
    assert any("-run: submitted" in line for line in first.stdout)
    first.send_signal(signal.SIGKILL)
    first.wait(240)
    (fetched,) = [name for kind, name in server.objects if kind == "jobs" and name.endswith("-fetch")]
    server.delete("jobs", fetched)
    ran = street.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [name.rpartition("-")[2] for name in server.started] == ["fetch", "run", "deliver"]


def test_a_killed_submitter_attaches_to_its_job(street: Street, server: ApiServer) -> None:
    server.unschedulable = "0/1 nodes are available: 1 Insufficient cpu."
    first = street.start("executors.kubernetes", "run", "collect")
    assert first.stdout
    assert any("pending: too little free cpu" in line for line in first.stdout)
    first.send_signal(signal.SIGKILL)
    first.wait(240)
    second = street.start("executors.kubernetes", "run", "collect")
    assert second.stdout
    assert any("already running; attached to it" in line for line in second.stdout)
    server.unschedulable = ""
    rest = second.stdout.read()
    assert second.wait(120) == 0, rest
    assert len(server.started) == 1
    assert "data/functions" in roots(street)


def test_the_graph_is_read_while_dvc_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a dvc.lock is YAML too, and what it lacks would make another key."""
    turns: list[bool] = []

    def load() -> dict[str, graph.Stage]:
        turns.append(walk._dvc_turn.locked())
        return {"collect": graph.Stage("collect", frozenset(), {}, (), (), fresh=len(turns) > 1)}

    monkeypatch.setattr(graph, "load", load)
    monkeypatch.setattr(walk.Walk, "one", lambda *_: 0)
    one = walk.Walk(None, None, "", {}, set())  # type: ignore[arg-type]
    assert one.through(["collect"]) == 0
    assert turns == [True, True]


@pytest.mark.slow
def test_two_users_and_an_api_server_with_faults_make_one_job(
    street: Street, server: ApiServer, tmp_path: Path
) -> None:
    server.faults += [Fault("POST .*jobs", 500, after=True), Fault("watch", 410, times=2), Fault("log", 0, times=2)]
    other = street.clone(tmp_path / "other")
    ended: list[int] = []
    users = [
        threading.Thread(
            target=lambda who=who: ended.append(who.run("executors.kubernetes", "run", "collect").returncode)
        )
        for who in (street, other)
    ]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert ended == [0, 0]
    assert len(server.started) == 1
    assert roots(street) == roots(other)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["evicted", "killed"])
def test_a_pod_that_is_lost_is_replaced_and_the_result_is_the_same(street: Street, server: ApiServer, how: str) -> None:
    process = street.start("executors.kubernetes", "run", "collect")
    assert process.stdout
    for line in process.stdout:
        if "pod: pulling" in line:
            if how == "evicted":
                server.evict("tidemill-collect")
            else:
                os.killpg(server.pod_of("tidemill-collect")[1].pid, signal.SIGKILL)
            break
    rest = process.stdout.read()
    assert process.wait(240) == 0, rest
    assert len(server.started) == 2
    assert "data/functions" in roots(street)


@pytest.mark.slow
def test_bad_input_fails_once_with_its_own_status(street: Street, server: ApiServer) -> None:
    change = {"sources": [{"kind": "tree", "name": "ours", "path": "absent", "license": "MIT"}]}
    street.edit("params.yaml", "params.yaml", lambda values: values["collect"].update(change))
    street.commit()
    ran = street.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 3
    assert "absent" in ran.stdout and "exit code 3" in ran.stdout
    assert len(server.started) == 1


@pytest.mark.slow
def test_a_damaged_result_is_named_and_never_computed_here(street: Street, server: ApiServer, tmp_path: Path) -> None:
    assert street.run("executors.kubernetes", "run", "collect").returncode == 0
    other = street.clone(tmp_path / "other")
    damaged = max((tmp_path / "remote/files/md5").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    ran = other.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 3
    oid = damaged.parent.name + damaged.name
    assert oid in ran.stdout and f"make forget OBJECT={oid}" in ran.stdout
    assert "stages.lib.corpus" not in ran.stdout + ran.stderr, "no stage ran here"
    assert len(server.started) == 1


@pytest.mark.slow
def test_answers_go_along_and_come_back_so_that_nobody_pays_twice(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stages.lib.teacher.sharing")
    remote = str(tmp_path / "remote")
    street = Street(tmp_path / "host", remote, ())
    monkeypatch.chdir(street.path)
    with endpoint.serve() as teacher:
        prepare(Workspace(street.path), teacher.url)
        stages = {}
        for stage, name in ("filter", "corpus"), ("coreset", "coreset"):
            shutil.move(f"data/{name}", f"tree/{name}")
            copied = f"mkdir -p data && cp -r tree/{name} data/{name}"
            stages[stage] = {"cmd": copied, "deps": [f"tree/{name}"], "outs": [f"data/{name}"]}
        generate = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]["generate"]
        generate["foreach"].pop(2)
        street.edit("dvc.yaml", "dvc.yaml", lambda values: values.update(stages={**stages, "generate": generate}))
        street.edit("k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(remote=remote))
        street.commit()
        assert street.dvc("repro", "filter", "coreset").returncode == 0
        ran = street.run("executors.kubernetes", "run", "generate@1")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        made, asked = roots(street)["data/candidates/1"], len(teacher.asked)
        assert asked >= 12
        ran = street.run("executors.runner", "generate@1")
        assert ran.returncode == 0, ran.stderr
        street.edit("params.yaml", "params.yaml", lambda values: values["generate"]["teacher"].update(concurrency=2))
        street.commit()
        shutil.rmtree("journal")
        ran = street.run(
            "executors.kubernetes", "run", "generate@1"
        )  # another Job: another pod, with nothing of its own
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert len(server.started) == 2 and len(teacher.asked) == asked
    assert roots(street)["data/candidates/1"] == made


@pytest.mark.slow
def test_what_only_dvc_lock_knows_is_made_again(street: Street, server: ApiServer, tmp_path: Path) -> None:
    assert street.run("executors.kubernetes", "run").returncode == 0
    street.commit()  # dvc.lock, as people do
    clone = street.clone(tmp_path / "clone")
    ran = clone.run("executors.kubernetes", "run")
    assert ran.returncode == 0 and "nothing is stale; `make pull` downloads what is not here" in ran.stdout

    shutil.rmtree(tmp_path / "remote")  # as with another remote: the data is nowhere
    ran = clone.run("executors.kubernetes", "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (
        roots(clone) == roots(street)
        and (clone.path / "dvc.lock").read_text() == (street.path / "dvc.lock").read_text()
    )
    assert clone.run("executors.kubernetes", "run").stdout == "nothing is stale\n"


@pytest.mark.slow
def test_a_dirty_tree_is_refused(street: Street, server: ApiServer) -> None:
    (street.path / "stages/collect.py").open("a").write("# changed\n")
    ran = street.run("executors.kubernetes", "run")
    assert ran.returncode == 3
    assert "the working tree has uncommitted changes" in ran.stderr
    assert " M stages/collect.py" in ran.stderr and "git commit --all" in ran.stderr
    assert not server.started


@pytest.mark.slow
def test_a_commit_that_the_pod_cannot_reach(street: Street, server: ApiServer, tmp_path: Path) -> None:
    street.git("clone", "--quiet", "--bare", ".", str(tmp_path / "published.git"))
    clone_from(street, tmp_path / "absent.git")
    ran = street.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 3 and f"cannot be fetched from {tmp_path / 'absent.git'}" in ran.stdout
    ((_, workspace),) = [(key, thing) for key, thing in server.objects.items() if key[0] == "persistentvolumeclaims"]

    clone_from(street, tmp_path / "published.git")  # another commit and repository, and the same Job
    ran = street.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 3 and "failed before; submitting it again" in ran.stdout
    assert "cannot be fetched from" in ran.stdout and "push it there (`git push`)" in ran.stdout
    assert str(tmp_path / "published.git") in ran.stdout, "the settings are those of the second submission"
    street.git("push", "--quiet", str(tmp_path / "published.git"), "HEAD")
    ran = street.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (job,) = [thing for (kind, _), thing in server.objects.items() if kind == "jobs"]
    assert server.objects["persistentvolumeclaims", workspace["metadata"]["name"]] is workspace, "with what it saved"
    assert workspace["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]


@pytest.mark.slow
def test_what_foreign_code_left_in_a_workspace_is_not_run_by_the_pod_that_has_credentials(
    street: Street, server: ApiServer, tmp_path: Path
) -> None:
    """The Jobs of an isolated stage are forgotten after a time; the workspace in which the run failed stays."""
    table = "containers/stages.yaml"
    street.edit(table, table, lambda values: values["collect"].update(isolated=True))
    street.edit("params.yaml", "params.yaml", lambda values: values["collect"]["sources"][0].update(path="absent"))
    street.commit()
    assert street.run("executors.kubernetes", "run", "collect").returncode == 3
    (volume,) = (server.folder / "volumes").iterdir()
    ran, save = tmp_path / "ran", volume / ".tidemill/checkpoints/collect/save"
    save.mkdir(parents=True)
    (volume / "dvc.py").write_text(f"open({str(ran)!r}, 'w')")
    for hook in "post-checkout", "fsmonitor":
        (volume / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (volume / ".git/hooks" / hook).chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", ".git/hooks/fsmonitor"], cwd=volume, check=True)
    for kind, name in [key for key in server.objects if key[0] == "jobs"]:
        server.delete(kind, name)

    again = street.run("executors.kubernetes", "run", "collect")
    assert again.returncode == 3 and "absent" in again.stdout
    assert sorted(name.rpartition("-")[2] for name in server.started) == ["fetch", "fetch", "run", "run"]
    assert not ran.exists()
    assert save.is_dir() and (volume / ".git").is_dir() and not (volume / "dvc.py").exists()


def clone_from(street: Street, repository: Path) -> None:
    settings = {"repository": str(repository)}
    street.edit("k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(settings))
    street.commit()


@pytest.mark.slow
def test_remotes_that_cannot_serve(tmp_path: Path, server: ApiServer) -> None:
    street = Street(tmp_path / "host", "")
    assert "none is set: run `make remote URL=" in street.run("executors.kubernetes", "run").stderr
    street.dvc("remote", "add", "one", str(tmp_path / "one"))
    street.dvc("remote", "add", "two", str(tmp_path / "two"))
    street.commit()
    ran = street.run("executors.kubernetes", "run")
    assert ran.returncode == 3
    assert "none of the 2 remotes (one, two) is the default: run `dvc remote default NAME`" in ran.stderr
    street.dvc("remote", "default", "one")
    street.commit()
    ran = street.run("executors.kubernetes", "run")
    assert "the local folder" in ran.stderr and "pods do not see" in ran.stderr


@pytest.mark.slow
def test_an_endpoint_that_is_only_this_machines_is_said_and_another_goes_to_pods(
    tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = Street(tmp_path / "host", "s3://bucket/store")
    street.dvc("remote", "modify", "store", "endpointurl", "http://127.0.0.1:9")
    street.commit()
    ran = street.run(
        "executors.kubernetes",
        "run",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_MAX_ATTEMPTS="1",
    )
    assert ran.returncode == 3 and "the remote s3://bucket/store cannot be used" in ran.stderr
    assert "http://127.0.0.1:9 is this machine, but in a pod it is the pod itself; set cluster.endpoint" in ran.stdout
    monkeypatch.chdir(street.path)
    assert graph.remote("", "http://minio:9000")["endpointurl"] == "http://minio:9000"


@pytest.mark.slow
def test_status_logs_and_stop(street: Street, server: ApiServer) -> None:
    assert "no Jobs" in street.run("executors.kubernetes", "status").stdout
    assert "there is no Job of collect" in street.run("executors.kubernetes", "stop", "collect").stderr
    server.unschedulable = "0/1 nodes are available: 1 Insufficient cpu."
    process = street.start("executors.kubernetes", "run", "collect")
    assert process.stdout
    assert any("pending" in line for line in process.stdout)
    assert (
        "active" in (ran := street.run("executors.kubernetes", "status")).stdout and "too little free cpu" in ran.stdout
    )
    process.send_signal(signal.SIGINT)
    assert "left running: collect" in process.stdout.read()
    assert process.wait(240) == 130
    assert "deleted" in street.run("executors.kubernetes", "stop", "collect").stdout
    assert not [name for kind, name in server.objects if kind in ("jobs", "pods")]
    assert "no Jobs" in street.run("executors.kubernetes", "status").stdout


@pytest.mark.slow
def test_who_may_not_make_a_namespace_sets_up_the_rest(street: Street, server: ApiServer) -> None:
    server.may = {"create serviceaccounts", "create networkpolicies"}
    ran = street.run("executors.kubernetes", "setup")
    assert ran.returncode == 0, ran.stderr
    assert "you may not create namespaces" in ran.stdout and "assuming that it exists" in ran.stdout
    assert {kind for kind, _ in server.objects} == {"serviceaccounts", "networkpolicies"}


@pytest.mark.slow
def test_a_network_policy_that_was_edited_is_the_clusters_after_the_next_setup(
    street: Street, server: ApiServer
) -> None:
    def more(values: dict) -> None:
        values["spec"]["egress"][1]["ports"].append({"protocol": "TCP", "port": 8333})

    server.may = {f"create {kind}" for kind in ("namespaces", "serviceaccounts", "networkpolicies")}
    server.may.add("update networkpolicies")
    assert street.run("executors.kubernetes", "setup").returncode == 0
    policy = street.path / "k8s/setup/network.yaml"
    first, rest = policy.read_text().split("---\n", 1)
    policy.write_text(first)
    street.edit("k8s/setup/network.yaml", "k8s/setup/network.yaml", more)
    policy.write_text(f"{policy.read_text()}---\n{rest}")
    ran = street.run("executors.kubernetes", "setup")
    assert ran.returncode == 0 and "NetworkPolicy tidemill-stage: exists" in ran.stdout
    kept = server.objects["networkpolicies", "tidemill-stage"]
    assert {"protocol": "TCP", "port": 8333} in kept["spec"]["egress"][1]["ports"]


@pytest.mark.slow
def test_a_result_whose_record_is_taken_away_is_made_again(street: Street, server: ApiServer, tmp_path: Path) -> None:
    assert street.run("executors.kubernetes", "run", "collect").returncode == 0
    (record,) = (tmp_path / "remote/tidemill/results").iterdir()
    record.unlink()
    other = street.clone(tmp_path / "other")
    ran = other.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "its record is no longer on the remote; running it again" in ran.stdout
    assert record.is_file() and len(server.started) == 2


def test_an_unknown_stage(street: Street) -> None:
    ran = street.run("executors.kubernetes", "run", "colect")
    assert ran.returncode == 3
    assert "dvc.yaml has no stage colect; choose from collect, filter" in ran.stderr
