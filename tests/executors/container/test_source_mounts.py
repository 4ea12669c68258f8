"""What collect reads outside the workspace is where its parameters say, in the container too."""

import itertools
import shutil
from pathlib import Path

import pytest
from workspace import REPOSITORY, Workspace

from executors import container


def test_sources_outside_the_workspace_are_mounted_for_reading(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for folder in (home / "mine", tmp_path / "tables", tmp_path / "repo", tmp_path / "work/inside"):
        folder.mkdir(parents=True)
    (tmp_path / "work/containers").mkdir()
    shutil.copy(REPOSITORY / "containers/stages.yaml", tmp_path / "work/containers")
    columns = {"code": "content", "path": "path"}
    workspace.set(
        "collect.sources",
        [
            {"kind": "tree", "name": "mine", "path": "~/mine"},
            {"kind": "tree", "name": "inside", "path": "inside"},
            {"kind": "table", "name": "tables", "path": str(tmp_path / "tables"), "columns": columns},
            {"kind": "git", "repository": "../repo", "revision": "0" * 40},
            {"kind": "git", "repository": "https://host/owner/name.git", "revision": "0" * 40},
        ],
    )
    shutil.copy("params.yaml", tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(home))
    words = container.command("/usr/bin/docker", "collect", "cpu", "sha256:0")
    mounts = [word for before, word in itertools.pairwise(words) if before == "--volume"]
    assert mounts == [
        f"{tmp_path}/work:/workspace",
        f"{home}/mine:/tmp/mine:ro",
        f"{tmp_path}/tables:{tmp_path}/tables:ro",
        f"{tmp_path}/repo:/repo:ro",
    ]
    assert not [word for word in container.command("/usr/bin/docker", "filter", "cpu", "sha256:0") if ":ro" in word]
