"""The rules that keep the house easy to change, held by machine."""

import graphlib
import subprocess
import sys
from pathlib import Path

import dependencies
import grimp
import pytest
from dvc.repo import Repo
from workspace import REPOSITORY

STAGES = sorted(path.stem for path in (REPOSITORY / "stages").glob("[a-z]*.py"))
STREET = [stage for stage in STAGES if stage != "evolve"]  # the side pipeline's are in test_evolve.py
HEAVY = {"torch", "transformers", "cupy", "trl", "datasets", "sentence_transformers", "matplotlib", "numba", "openai"}


@pytest.fixture(scope="module")
def deps() -> dict[str, list[str]]:
    """Every dvc.yaml entry's dependencies inside stages/lib, relative to the repository."""
    found = {}
    with Repo(str(REPOSITORY)) as repo:
        for stage in repo.index.stages:
            paths = {str(Path(dep.fs_path).relative_to(REPOSITORY)) for dep in stage.deps if dep.hash_name != "params"}
            found[stage.name] = sorted(path for path in paths if path.startswith("stages/lib/"))
    return found


@pytest.mark.parametrize("stage", STREET)
def test_a_stage_depends_on_what_it_imports_and_on_nothing_else(stage: str, deps: dict[str, list[str]]) -> None:
    entries = [name for name in deps if name.split("@")[0] == stage]
    assert entries, f"dvc.yaml has no entry for stages/{stage}.py"
    for entry in entries:
        own = [path for path in deps[entry] if not {str(one) for one in Path(path).parents} & set(deps[entry])]
        assert own == dependencies.deps_of(stage), (
            f"{entry}: `python tests/support/dependencies.py {stage}` has its deps"
        )


def test_every_data_file_is_read_by_someone() -> None:
    assert not [str(file) for file in dependencies.data() if not dependencies.readers_of(file)]


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

    assert sorted(params.read(REPOSITORY / "params.yaml").keys() - {params.SHARED}) == STAGES


def test_every_stage_says_where_it_runs() -> None:
    from stages.lib import params

    assert sorted(params.read(REPOSITORY / "containers/stages.yaml")) == STAGES


def test_import_rules_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([lint], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_no_catch_all_modules() -> None:
    names = {path.stem for path in (REPOSITORY / "stages").rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc"}


def test_no_module_imports_itself_round_about() -> None:
    """Imports inside functions count too: a circle that they hide is one."""
    graph = grimp.build_graph("commands", "executors", "stages")
    modules = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    graphlib.TopologicalSorter(modules).prepare()
