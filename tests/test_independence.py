"""The rules that keep the house easy to change, held by machine."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from conftest import REPOSITORY
from dvc.repo import Repo

STAGES = sorted(path.stem for path in (REPOSITORY / "stages").glob("[a-z]*.py"))
STREET = [stage for stage in STAGES if stage != "evolve"]  # the side pipeline's are in test_evolve.py
HEAVY = {"torch", "transformers", "cupy", "trl", "datasets", "sentence_transformers", "matplotlib", "numba", "openai"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("stages")


@pytest.fixture(scope="module")
def dependencies() -> dict[str, set[Path]]:
    """Every dvc.yaml entry's dependencies inside stages/, relative to the repository."""
    found = {}
    with Repo(str(REPOSITORY)) as repo:
        for stage in repo.index.stages:
            paths = {Path(dep.fs_path).relative_to(REPOSITORY) for dep in stage.deps if dep.hash_name != "params"}
            found[stage.name] = {path for path in paths if path.parts[0] == "stages"}
    return found


def files_imported_by(stage: str, imports: grimp.ImportGraph) -> set[Path]:
    modules = imports.find_upstream_modules(f"stages.{stage}") | {f"stages.{stage}"}
    paths = (Path(*module.split(".")) for module in modules)
    files = (
        path.with_suffix(".py") if (REPOSITORY / path).with_suffix(".py").is_file() else path / "__init__.py"
        for path in paths
    )
    return {file for file in files if (REPOSITORY / file).read_text().strip()}


def covers(dependency: Path, file: Path) -> bool:
    return dependency == file or dependency in file.parents


@pytest.mark.parametrize("stage", STREET)
def test_dvc_knows_every_module_that_a_stage_imports(
    stage: str, imports: grimp.ImportGraph, dependencies: dict[str, set[Path]]
) -> None:
    entries = [name for name in dependencies if name.split("@")[0] == stage]
    assert entries, f"dvc.yaml has no entry for stages/{stage}.py"
    files = files_imported_by(stage, imports)
    for entry in entries:
        unknown = sorted(str(f) for f in files if not any(covers(d, f) for d in dependencies[entry]))
        assert not unknown, f"{entry}: add to its deps in dvc.yaml: {unknown}"
        useless = sorted(str(d) for d in dependencies[entry] if not any(covers(d, f) for f in files))
        assert not useless, f"{entry}: nothing imports these deps of dvc.yaml: {useless}"


@pytest.mark.parametrize("stage", STAGES)
def test_help_is_there_and_imports_nothing_heavy(stage: str) -> None:
    program = (
        "import sys; from executors.runner import main; status = main(sys.argv[1:]);"
        f"heavy = {HEAVY!r} & set(sys.modules); assert not heavy, heavy; sys.exit(status)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, stage, "--help"], cwd=REPOSITORY, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.strip().splitlines()) > 2, "the help must say what the stage reads and writes"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_page(stage: str) -> None:
    assert len((REPOSITORY / "stages" / f"{stage}.py").read_text().splitlines()) < 200


def test_params_and_stages_have_the_same_words() -> None:
    from stages.lib import params

    assert sorted(params.read(REPOSITORY / "params.yaml")) == STAGES


def test_import_rules_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([lint], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_no_catch_all_modules() -> None:
    names = {path.stem for path in (REPOSITORY / "stages").rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc"}
