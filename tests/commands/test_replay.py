"""make replay: what may differ from the commit when a run is recorded. tests/test_pipeline.py replays a whole one."""

import pytest

from commands.replay.recording import travels


@pytest.mark.parametrize("line", [" M params.yaml", " M profile.yaml", "?? examples/", "?? examples/x/", "?? dvc.lock"])
def test_params_examples_and_what_clones_share_travel(line: str) -> None:
    assert travels(line)


@pytest.mark.parametrize("line", ["?? stages/new.py", " M stages/judge.py", " M dvc.yaml"])
def test_changed_and_new_code_does_not(line: str) -> None:
    assert not travels(line)
