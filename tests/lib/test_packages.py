"""Downloads that stages share."""

from pathlib import Path
from typing import Any

import pytest

from stages.lib import packages


@pytest.mark.parametrize("other", ["there first", "something else"])
def test_two_stages_fetch_one_package_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """Another stage puts the package in place while this one downloads it."""
    monkeypatch.setattr(packages, "DOWNLOADS", tmp_path)
    name = "a-1.whl" if other == "there first" else "b-1.whl"

    def download(*words: Any) -> Path:
        (tmp_path / "0f").mkdir()
        (tmp_path / "0f" / name).write_bytes(b"theirs")
        archive = Path(words[4]) / "a-1.whl"
        archive.write_bytes(b"ours")
        return archive

    monkeypatch.setattr(packages, "download", download)
    if other == "something else":
        with pytest.raises(OSError, match="not empty"):
            packages.fetch("pip", "a", "1", "0f")
    else:
        assert packages.fetch("pip", "a", "1", "0f").read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["0f"]
