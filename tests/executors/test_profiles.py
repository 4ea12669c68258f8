"""Profiles as layers: params.yaml stays as it is, and what is in force is what stages, DVC and commands read."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clones import Street
from dvc.utils.serialize import parse_yaml
from workspace import REPOSITORY

from commands import profile
from executors import parameters, profiles
from stages.lib import params
from stages.lib.errors import BadInput

ALL = sorted((REPOSITORY / "profiles").glob("*.yaml"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, dvc.yaml and the profiles."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(parameters.CHECKED, "")  # undone after the test
    monkeypatch.delenv(parameters.CHECKED)
    return tmp_path


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.stem)
def test_every_profile_is_valid_and_leaves_params_yaml_alone(here: Path, file: Path) -> None:
    before, held = Path("params.yaml").read_bytes(), params.merged()
    assert profile.put([file.stem]), "a profile that changes nothing"
    assert Path("params.yaml").read_bytes() == before
    assert params.merged() == params.over(held, profiles.resolve(file.stem))
    assert parse_yaml(Path("profile.yaml").read_text(), "profile.yaml") == params.read(params.PROFILE), (
        "as DVC reads it"
    )
    assert profile.put([]) and params.merged() == held and params.layer() == {}


def test_several_lie_over_one_another_and_one_may_extend_another(here: Path) -> None:
    Path("profiles/one.yaml").write_text(
        "coreset: {k: 1, seed: 1}\nteacher: {prices: {m: {prompt: 1.0, completion: 0.00002}}}\n"
    )
    Path("profiles/two.yaml").write_text("extends: one\ncoreset: {k: 2}\nevolve: {rounds: 9, rows: 3}\n")
    Path("profiles/three.yaml").write_text("coreset: {k: 3}\ntrain: {learning_rate: 0.00001}\n")
    assert "coreset.k: 160 -> 3" in profile.put(["two", "three"])
    values, held = params.merged(), params.read(params.PROFILE)
    assert values["coreset"]["k"] == 3 and values["coreset"]["seed"] == 1
    assert (values["evolve"]["rounds"], values["evolve"]["rows"]) == (9, 3)
    assert (held["evolve_rounds"], held["evolve_validation"], held["evolve"]) == ({"rounds": 9}, {}, {"rows": 3})
    assert parse_yaml(Path("profile.yaml").read_text(), "")["train"]["learning_rate"] == 1e-5
    assert profiles.describe() == ["profile two, three: 7 keys over params.yaml (`make PROFILE=default` drops it)"]


def test_mistakes_are_named_and_leave_the_profile_in_force(here: Path) -> None:
    profile.put(["smoke"])
    before = params.PROFILE.read_text()
    Path("profiles/odd.yaml").write_text("corset: {k: 1}\n")
    Path("profiles/off.yaml").write_text("coreset: {kk: 1}\n")
    Path("profiles/ring.yaml").write_text("extends: ring\n")
    for name, message in {
        "bigger": "no profile 'bigger'; choose one of bfloat16, codealpaca-1k",
        "odd": r"profiles/odd\.yaml: params\.yaml has no section 'corset'",
        "off": r"coreset\.kk: unknown key; did you mean 'k'\? \(set by the profile in force",
        "ring": "extends itself",
    }.items():
        with pytest.raises(BadInput, match=message):
            profile.put([name])
        assert params.PROFILE.read_text() == before


def test_what_train_reads_reaches_dvc(here: Path) -> None:
    Path("profiles/rows.yaml").write_text("train: {file: mine.jsonl}\n")
    profile.put(["rows"])
    reads = params.read(params.PROFILE)["reads"]
    assert (reads["generate"], reads["train"], reads["mix"]) == ("generate", "mine.jsonl", {})
    assert (reads["corpus"], reads["coreset"], reads["embeddings"]) == (
        "data/corpus",
        "data/coreset",
        "data/embeddings",
    )
    profile.put([])
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub(r"(?m)^  file: data/dataset", "  file: other.jsonl", text))
    with pytest.raises(
        BadInput, match=r"train\.file: other\.jsonl, but profile\.yaml tells DVC data/dataset; run `make`"
    ):
        parameters.check()
    profiles.refresh()
    parameters.check()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    found = Street(tmp_path_factory.mktemp("profiles") / "street", remote="")
    (found.path / "profiles").mkdir()
    (found.path / "profiles/short.yaml").write_text("filter: {length: {most: 300}}\ntrain: {epochs: 7}\n")
    found.commit()
    return found


def ran(done: "subprocess.CompletedProcess[str]") -> list[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"Running stage '(\w+)'", done.stdout)


@pytest.mark.slow
def test_a_profile_makes_stale_what_reads_it_and_stays_in_force(street: Street) -> None:
    assert ran(street.dvc("repro")) == ["collect", "filter"]
    corpus = (street.path / "data/corpus/artifact.json").read_text()
    put = street.run("commands", "profile", "short")
    assert put.returncode == 0 and "filter.length.most: 800 -> 300" in put.stdout, put.stderr
    assert street.git("diff", "params.yaml") == ""
    assert ran(street.dvc("repro")) == ["filter"], "a bare dvc repro is under the profile too, and collect is not"
    shorter = (street.path / "data/corpus/artifact.json").read_text()
    assert '"most":300' in shorter.replace(" ", "") and shorter != corpus
    made = street.run("executors")
    assert ran(made) == [] and "profile short: 2 keys over params.yaml" in made.stdout

    text = (street.path / "profiles/short.yaml").read_text()
    (street.path / "profiles/short.yaml").write_text(text.replace("300", "350"))
    made = street.run("executors")
    assert ran(made) == ["filter"] and "filter.length.most: 300 -> 350" in made.stdout, "its file was changed"

    assert street.run("commands", "profile", "default").returncode == 0
    assert ran(street.dvc("repro")) == [], "from the run cache"
    assert (street.path / "data/corpus/artifact.json").read_text() == corpus
    assert "profile.yaml" not in street.git("status", "--porcelain")


def test_a_change_that_the_profile_hides_is_said(street: Street) -> None:
    put = street.run("commands", "profile", "short")
    assert put.returncode == 0, put.stderr
    changed = street.dvc("exp", "run", "--set-param", "filter.length.most=500", "--set-param", "filter.length.least=51")
    assert changed.returncode == 0, changed.stderr
    said = changed.stdout + changed.stderr
    assert "params.yaml: filter.length.most: 500 has no effect, since profile short sets 3" in said, said
    assert "filter.length.least" not in said
    street.git("checkout", "--quiet", "params.yaml", "profile.yaml", "profiles")
    assert street.dvc("repro").returncode == 0


def test_without_profile_yaml_a_stage_says_what_writes_it(street: Street) -> None:
    (street.path / "profile.yaml").unlink()
    told = street.run("executors.runner", "collect")
    assert told.returncode == 3 and "profile.yaml is missing; `make` writes it" in told.stderr
    assert ran(street.run("executors")) == [] and (street.path / "profile.yaml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"), [("PROFILE=short", "profile short: 2 keys"), ("PROFILE=default", "no profile")]
)
def test_make_takes_the_profile_with_any_target(street: Street, words: str, said: str) -> None:
    shutil.copy(REPOSITORY / "Makefile", street.path)
    command = ["make", "forget", words, f"BIN={Path(sys.executable).parent}", "READY="]
    made = subprocess.run(command, cwd=street.path, capture_output=True, text=True, timeout=120)
    assert said in made.stdout and "forget: " in made.stderr, made.stdout + made.stderr


def test_the_paid_profile_says_where_prices_are_and_sends_what_such_models_take(here: Path) -> None:
    """Names of models change; what is checked is the form."""
    assert "pricing" in Path("profiles/openai.yaml").read_text()
    profile.put(["openai"])
    values = params.merged()
    for stage in ("generate", "judge"):
        asked = params.completed(values, stage)["teacher"]
        assert asked["prices"] == {} and not asked["free"], "a price is looked up by who pays it"
        assert (asked["temperature"], asked["top_p"], asked["seed"]) == (None, None, None)
        assert asked["reasoning_effort"] and asked["reasoning_tokens"] > 0 and asked["budget_usd"] > 0
    assert values["judge"]["answers"] == "reasons"
    teacher, judge = (values[stage]["teacher"]["model"] for stage in ("generate", "judge"))
    assert teacher != judge


def test_a_target_makes_dvc_watch_the_judges_parameters(here: Path) -> None:
    Path("profiles/target.yaml").write_text("generate: {until: {passing: 9}}\n")
    profile.put(["target"])
    assert params.read(params.PROFILE)["reads"]["generate"] == "judge"
    Path("profile.yaml").write_text(Path("profile.yaml").read_text().replace('"judge"', '"generate"'))
    with pytest.raises(BadInput, match=r"generate\.until: profile\.yaml tells DVC to watch generate for it"):
        parameters.refuse_mistakes()
