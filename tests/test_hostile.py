"""Hostile programs of languages whose tests and candidate share a process: files under hostile/LANGUAGE.

Each file's first line says what comes of it: `expect: VERDICT`; two where the machine's speed decides, and why.
SECRET stands for the path of a file
outside, MARK for an argument by which a process that is left running would be found.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_sandbox import processes_with

from stages.lib import sandbox
from stages.lib.errors import BadInput
from stages.lib.sandbox import compiled, languages, slot, walls

HERE = Path(__file__).parent / "hostile"
LIMITS = sandbox.Limits(cpu_s=2, wall_s=4.0, memory_mb=512, processes=16, file_mb=8, output_kb=64)


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file that anyone may read, where no wall is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "secret"
        file.write_text("1\n")
        yield file


@pytest.mark.parametrize("language", sorted(folder.name for folder in HERE.iterdir()))
def test_no_hostile_program_passes_or_leaves_anything(language: str, secret: Path) -> None:
    mark = str(random.randrange(10**6, 10**7))
    files = sorted(file for file in (HERE / language).iterdir() if file.stem != "tests")
    tests = next((HERE / language).glob("tests.*")).read_text()
    texts = [file.read_text().replace("SECRET", str(secret)).replace("MARK", mark) for file in files]
    programs = [sandbox.Program(language, text, tests, "f") for text in texts]
    try:
        outcomes = list(sandbox.run_all(programs, LIMITS, 2))
    except BadInput as error:
        pytest.skip(str(error))
    expected = {
        file.stem: text.splitlines()[0].partition("expect: ")[2] for file, text in zip(files, texts, strict=True)
    }
    results = {file.stem: outcome for file, outcome in zip(files, outcomes, strict=True)}
    odd = {name: (expected[name], o) for name, o in results.items() if o.verdict not in expected[name].split("|")}
    assert odd == {}
    assert results["right"].verdict == "passed", "the scorer is alive"
    until = time.monotonic() + 10  # the kernel ends a namespace's processes soon, not at once
    while processes_with(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_with(mark) == 0


@pytest.mark.parametrize("language", sorted(languages.NATIVE))
def test_a_job_needs_no_wall(language: str) -> None:
    """As in a pod that is the wall itself: the toolchain is where it is installed, not where a wall shows it."""
    if reason := sandbox.missing(language):
        pytest.skip(reason)
    tests = next((HERE / language).glob("tests.*")).read_text()
    kept = slot.Slot(walls.Isolation("none"), sandbox.Limits(), languages.SPARE_PROCESSES)
    try:
        for name, verdict in (("right", "passed"), ("wrong", "wrong answer")):
            text = next((HERE / language).glob(f"{name}.*")).read_text()
            outcome = compiled.judge(kept, sandbox.Program(language, text, tests, "f"))
            assert outcome.verdict == verdict, outcome
    finally:
        kept.close()
