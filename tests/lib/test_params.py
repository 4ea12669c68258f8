"""params.yaml: a section becomes a typed model, and every mistake is named."""

from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml
from pydantic import Field
from ruamel.yaml import YAML
from workspace import REPOSITORY

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


def test_a_mistake_that_the_profile_makes_is_laid_to_the_profile(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text("profile: [big]\nreads: {train: x}\ncoreset: {pacing: {sconds: 2}}\n")
    with pytest.raises(BadInput, match=r"coreset\.pacing\.sconds: unknown key.* \(set by the profile in force"):
        load(tmp_path, "coreset: {k: 3, pacing: {seconds: 1}}")


def test_dvc_reads_what_its_set_param_writes(tmp_path: Path) -> None:
    """DVC writes params.yaml with lines of 80 characters and reads it with libyaml, of YAML 1.1, which refuses a key of
    several words that was broken in a long {…}."""
    writer, target = YAML(), tmp_path / "params.yaml"
    writer.dump(writer.load(REPOSITORY / "params.yaml"), target)
    assert parse_yaml(target.read_text(), target) == params.read(REPOSITORY / "params.yaml")
