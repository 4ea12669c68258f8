"""Jobs on a real Slurm: the queue, its limit, and kills of all who have a part in it."""

import os
import signal

import pytest
from slurmbench import NAME, ONCE, PLAN, SAVES, SHARD, SHARDED, TRAIN, Bench, Courier, Running
from slurmcluster import SlurmCluster
from waiting import until

from executors.slurm import follow, jobs, submit
from executors.slurm.controller import Controller
from executors.walk import Plan
from stages.lib.errors import BadInput

pytestmark = pytest.mark.slow


def test_a_crash_is_tried_again_so_often_and_no_more(bench: Bench) -> None:
    running = bench.start("print('again', flush=True); sys.exit(9)")
    bench.until_queued_again()
    assert running.status() == 9, bench.said
    assert [line for line in bench.logged() if line == "again"] == ["again"] * 2
    assert bench.heard("it ended with status 9, and 0 of 1 retries are left")


def test_status_75_costs_no_retry(bench: Bench) -> None:
    count = bench.folder / "count"
    bench.values["retries"] = 0
    again = f"open({str(count)!r}, 'a').write('x')\nsys.exit(75 if os.path.getsize({str(count)!r}) < 3 else 0)"
    running = bench.start(again)
    for restarts in (1, 2):
        bench.until_queued_again(restarts)
    assert running.status() == 0 and count.read_text() == "xxx"
    assert bench.heard("waits a moment in the queue, as every job that goes back to it")


def test_before_its_limit_a_stage_saves_and_goes_on(bench: Bench, cluster: SlurmCluster) -> None:
    """Slurm looks at its limits twice a minute, and warns up to a minute early (sbatch(1), --signal)."""
    bench.values["grace"] = 50
    running = bench.start(f"{SAVES}{ONCE}time.sleep(600) if first else {bench.waits()}", time="00:01:00")
    bench.until("goes back to the queue: its progress is saved")
    bench.until_queued_again()
    bench.until(", start 2")
    bench.go.touch()
    assert running.status() == 0
    assert bench.logged()[0] == "saved" and bench.heard("runs on n")


def test_a_preempted_job_saves_and_slurm_itself_brings_it_back(bench: Bench, cluster: SlurmCluster) -> None:
    running = bench.start(f"{SAVES}{ONCE}print('up', flush=True)\ntime.sleep(600 if first else 0)", cpus=4, nodes=1)
    bench.until("| up")
    urgent = ("sbatch", "--partition=urgent", "--nodes=2", "--ntasks-per-node=4", "--mem=100M", "--output=/dev/null")
    cluster.call(*urgent, "--wrap=sleep 1")
    bench.until("| saved")
    bench.until_queued_again()
    assert running.status() == 0
    assert not bench.heard("goes back to the queue: ")


def test_what_somebody_cancels_stays_cancelled(bench: Bench, cluster: SlurmCluster) -> None:
    running = bench.start(f"{SAVES}print('up', flush=True)\ntime.sleep(600)")
    bench.until("| up")
    submit.stop(Controller(), bench.settings(), "embed")
    assert running.status() == 1
    assert "saved" in bench.logged() and bench.heard("was cancelled; what it saved is kept")
    assert not cluster.call("squeue", "--noheader", f"--name={NAME}")
    with pytest.raises(BadInput, match="there is no job of embed in the queue; `squeue --me` lists yours"):
        submit.stop(Controller(), bench.settings(), "embed")
    assert bench.run("print('after')") == 0, "and the same command makes it anew"


def test_a_process_killed_on_its_node_is_started_again(bench: Bench) -> None:
    running = bench.start(f"{ONCE}print('pid', os.getpid(), flush=True)\ntime.sleep(600 if first else 0)")
    bench.until("| pid")
    os.kill(int(bench.logged()[0].split()[1]), signal.SIGKILL)
    bench.until_queued_again()
    assert running.status() == 0 and bench.heard("it ended with status 137, and 0 of 1 retries are left")


def test_a_node_that_is_lost_with_all_it_runs_costs_no_retry(bench: Bench, cluster: SlurmCluster) -> None:
    bench.values["retries"] = 0
    program = f"{ONCE}print('pid', os.getpid(), os.getppid(), flush=True)\ntime.sleep(600 if first else 0)"
    running = bench.start(program)
    bench.until("| pid")
    (node,) = [line.split()[-1] for line in bench.said if "runs on" in line]
    cluster.kill(node)
    for number in (*cluster.stepds(), *map(int, bench.logged()[0].split()[1:])):
        os.kill(number, signal.SIGKILL)
    cluster.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")  # as after SlurmdTimeout
    bench.until_queued_again()
    assert running.status() == 0
    cluster.start(node)
    until(lambda: cluster.sinfo()[node] == "idle", cluster.sinfo)


def test_a_node_whose_daemon_is_away_for_a_while_costs_nothing(bench: Bench, cluster: SlurmCluster) -> None:
    go = bench.folder / "go"
    running = bench.start(f"print('up', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.1)")
    bench.until("| up")
    (node,) = [line.split()[-1] for line in bench.said if "runs on" in line]
    cluster.kill(node)
    go.touch()
    cluster.start(node)
    assert running.status() == 0 and bench.logged() == ["up"]


def test_a_controller_that_is_away_for_a_while_costs_nothing(bench: Bench, cluster: SlurmCluster) -> None:
    bench.program.write_text(f"import os, time\nprint('up')\n{bench.waits()}")
    patient = submit.Submitter(Controller(patience=60), bench.settings(), Courier())  # type: ignore[arg-type]
    running = Running(lambda: patient.submit(PLAN))
    bench.until("runs on n")
    cluster.kill("slurmctld")
    bench.go.touch()
    with pytest.raises(BadInput, match=r"no Slurm: its controller does not answer .*Running jobs go on, and"):
        Controller(patience=0).alive([NAME])
    assert running.status() == 0 and bench.logged() == ["up"], "its status is in the folder"
    cluster.start("slurmctld")
    until(lambda: cluster.sinfo() == {"n1": "idle", "n2": "idle"}, cluster.sinfo)


def test_a_submission_whose_answer_is_lost_makes_one_job(
    bench: Bench, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a busy controller has taken the job and its answer comes too late."""
    real = bench.folder / "bin"
    real.mkdir()
    lost = real / "sbatch"
    lost.write_text(
        f'#!/bin/sh\n/usr/bin/sbatch "$@" >>{bench.folder}/made\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2\nexit 1\n"
    )
    lost.chmod(0o755)
    monkeypatch.setenv("PATH", f"{real}:{os.environ['PATH']}")
    assert bench.run("time.sleep(3); print('once')") == 0
    assert bench.logged() == ["once"] and len((bench.folder / "made").read_text().splitlines()) == 1


def test_two_who_submit_at_once_share_one_job(bench: Bench) -> None:
    program = f"print('up', flush=True); {bench.waits()}"
    both = [bench.start(program) for _ in range(2)]
    bench.until("already in the queue as job")
    bench.go.touch()
    assert [one.status() for one in both] == [0, 0]
    numbers = {line.rpartition("job ")[2].partition(";")[0] for line in bench.said if " as job " in line}
    assert len(numbers) == 1 and bench.heard("submitted as job")


def test_a_job_that_slurm_has_forgotten_has_left_its_status(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LATE", 1.0)
    assert bench.run("print('done')") == 0
    (end,) = (bench.folder / "shared").rglob("*.status")
    part, number = jobs.Part("stage", ("run",)), end.name.split(".")[1]
    monkeypatch.setattr(Controller, "records", lambda *_: [])
    one = follow.Follower(Controller(), end.parent, part, number, 0.1)
    assert one.outcome(print).status == 0
    end.unlink()
    assert "neither it nor Slurm says how" in one.outcome(print).reason


def test_a_killed_shard_is_started_again_alone(bench: Bench) -> None:
    mine = f"{ONCE}mine = os.environ['JOB_COMPLETION_INDEX']\nprint('index', mine, os.getpid(), flush=True)\n"
    running = bench.start(f"{mine}time.sleep(600 if first and mine == '1' else 0)", **SHARDED)
    bench.until("| index 1")
    (pid,) = [int(line.split()[-1]) for line in bench.logged() if line.startswith("index 1 ")]
    os.kill(pid, signal.SIGKILL)
    bench.until_queued_again()
    assert running.status() == 0
    starts = [line.split()[1] for line in bench.logged() if line.startswith("index")]
    assert sorted(starts[1:-1]) == ["0", "1", "1", "2"]


def test_the_next_jobs_of_a_stage_start_without_the_submitter(bench: Bench, cluster: SlurmCluster) -> None:
    go = bench.folder / "go"
    program = f"{SHARD}while not os.path.exists({str(go)!r}): time.sleep(0.1)"
    running = bench.start(program, **SHARDED)
    bench.until("| fetch")
    second = Bench.start(bench, program, **SHARDED)
    until(lambda: sum("already in the queue" in line for line in bench.said) == 3)
    go.touch()
    assert running.status() == second.status() == 0
    assert sorted({job["JobName"] for job in cluster.jobs() if job["JobState"] == "PENDING"}) == []


def test_a_submitter_killed_between_two_jobs_of_a_stage_submits_the_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, real = bench.folder / "go", submit.Submitter._submit

    def killed(submitter: submit.Submitter, plan: Plan, part: jobs.Part, before: str) -> str:
        if before:
            raise KeyboardInterrupt
        return real(submitter, plan, part, before)

    program = f"{SHARD}while not os.path.exists({str(go)!r}): time.sleep(0.1)"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(submit.Submitter, "_submit", killed)
        bench.run(program, **SHARDED)
    running = bench.start(program, **SHARDED)
    bench.until(f"{NAME}-shards: submitted as job")
    go.touch()
    assert running.status() == 0
    assert [line.split()[0] for line in bench.logged()] == ["fetch", "shard", "shard", "shard", "run"]


def test_two_nodes_save_together_before_the_limit(bench: Bench) -> None:
    slow = SAVES.replace("print", "time.sleep(3 * (os.environ.get('PET_NODE_RANK') == '0')); print")
    program = f"{slow}{ONCE}print('up', flush=True)\ntime.sleep(600 if first and sys.argv[1] == 'run' else 0)"
    running = bench.start(program, TRAIN, nodes=2)
    until(lambda: bench.logged().count("up") == 3)
    (number,) = [job["JobId"] for job in bench.cluster.jobs() if job["JobState"] == "RUNNING"]
    bench.cluster.call("scancel", "--batch", "--signal=USR1", number)  # as Slurm does before the limit
    bench.until_queued_again()
    assert running.status() == 0
    assert bench.logged().count("saved") == 2, "the other node's end does not end the first"
