"""params.yaml: a section becomes a typed model, and every mistake is named."""

from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml
from pydantic import Field
from ruamel.yaml import YAML
from workspace import REPOSITORY

from commands import profile
from stages.lib import params
from stages.lib.errors import BadInput


class Pacing(params.Section):
    seconds: float
    workers: int = Field(default=1, exclude=True)


class Coreset(params.Section):
    k: int
    metric: str = "euclidean"
    pacing: Pacing


def load(tmp_path: Path, text: str) -> Coreset:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    return params.load("coreset", Coreset, file)


def test_a_section_becomes_its_model(tmp_path: Path) -> None:
    knobs = load(tmp_path, "coreset:\n  k: 3\n  pacing: {seconds: 1e-4, workers: 8}\n")
    assert (knobs.k, knobs.pacing.seconds, knobs.pacing.workers) == (3, 0.0001, 8)


def test_what_only_changes_speed_is_no_part_of_the_result(tmp_path: Path) -> None:
    one = load(tmp_path, "coreset:\n  k: 3\n  pacing: {seconds: 1, workers: 1}\n")
    many = load(tmp_path, "coreset:\n  k: 3\n  pacing: {seconds: 1, workers: 256}\n")
    assert one.result == many.result == {"k": 3, "metric": "euclidean", "pacing": {"seconds": 1.0}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coreset: {kk: 3, k: 3, pacing: {seconds: 1}}", r"coreset\.kk: unknown key; did you mean 'k'\?"),
        ("coreset: {k: 3, pacing: {secnods: 1}}", r"coreset\.pacing\.secnods: unknown key; did you mean 'seconds'\?"),
        ("coreset: {k: '3', pacing: {seconds: 1}}", r"coreset\.k: Input should be a valid integer, found '3'"),
        ("coreset: {k: 3}", r"coreset\.pacing: missing"),
        ("corset: {k: 3}", r"section 'coreset' is missing; did you mean 'corset'\?"),
        ("coreset: {k: 3", r"params\.yaml is not valid YAML"),
        ("- coreset", r"one section per stage"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="git checkout"):
        params.load("coreset", Coreset, tmp_path / "params.yaml")


def test_a_profile_is_merged_and_keeps_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("profiles").mkdir()
    Path("params.yaml").write_text("coreset:\n  k: 3  # centres\n  pacing: {seconds: 1}\n")
    Path("profiles/big.yaml").write_text("coreset: {k: 20000, pacing: {workers: 4}}\n")
    assert profile.apply("big") == ["coreset.k: 3 -> 20000", "coreset.pacing.workers: null -> 4"]
    assert "k: 20000 # centres" in Path("params.yaml").read_text()
    assert profile.apply("big") == []
    with pytest.raises(BadInput, match="choose one of big"):
        profile.apply("bigger")
    Path("profiles/odd.yaml").write_text("corset: {k: 1}\n")
    with pytest.raises(BadInput, match="no section 'corset'"):
        profile.apply("odd")


@pytest.mark.parametrize("overlay", sorted((REPOSITORY / "profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_of_the_repository_is_valid(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib
    import shutil

    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPOSITORY / "profiles", "profiles")
    shutil.copy(REPOSITORY / "params.yaml", ".")
    assert profile.apply(overlay.stem), "a profile that changes nothing"
    for section in params.read().keys() - {params.SHARED}:
        params.load(section, importlib.import_module(f"stages.{section}").Params)


@pytest.mark.parametrize("writer", [profile.round_trip(), YAML()], ids=["ours", "dvc exp run --set-param"])
@pytest.mark.parametrize("file", sorted((REPOSITORY / "profiles").glob("*.yaml")), ids=lambda file: file.stem)
def test_dvc_reads_what_a_profile_is_written_to(
    file: Path, writer: YAML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC reads YAML with libyaml, of YAML 1.1, and refuses some of what a writer of YAML 1.2 leaves unquoted."""
    monkeypatch.chdir(REPOSITORY)
    target = tmp_path / "params.yaml"
    values = writer.load(REPOSITORY / "params.yaml")
    profile.merge(values, file.stem)
    writer.dump(values, target)
    assert parse_yaml(target.read_text(), target) == params.read(target)
