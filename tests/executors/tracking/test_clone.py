"""The files of a commit, as comparisons read them."""

from pathlib import Path

import pytest
from clones import Street

from executors.tracking.clone import Clone

pytestmark = pytest.mark.slow


def test_what_only_dvc_lock_knows_is_not_among_a_commits_files(tmp_path: Path) -> None:
    """As in a fresh clone of which a comparison runs some stages alone."""
    street = Street(tmp_path / "street", "")
    assert street.dvc("repro").returncode == 0
    street.commit()
    elsewhere = street.clone(tmp_path / "elsewhere")
    assert elsewhere.dvc("repro", "collect").returncode == 0
    with Clone(elsewhere.path, "").files("HEAD") as files:
        assert "data/functions" in files.outs and "metrics/collect.json" in files.outs
        assert "data/corpus" not in files.outs and "metrics/filter.json" not in files.outs
