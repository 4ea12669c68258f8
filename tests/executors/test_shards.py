"""A stage shared out among shards gives the bytes of an unshared run: real stages on little data."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import completions
import corpora
import grimp
import numpy as np
import pytest
from ruamel.yaml import YAML
from workspace import REPOSITORY, Workspace

from executors import runner
from stages.lib import artifacts, shards
from stages.lib.errors import BadInput


def embed(workspace: Workspace, _tiny: Path) -> tuple[str, str]:
    corpora.write_corpus(corpora.functions(40))
    workspace.set("embed.batch_rows", 4)
    workspace.set("embed.shard_batches", 2)
    workspace.set("embed.threads", 1)
    workspace.set("embed.device", "cpu")
    return "embed", "data/embeddings"


def sample(workspace: Workspace, tiny: Path) -> tuple[str, str]:
    given = {"model": f"path:{tiny}", "problems": 10, "max_new_tokens": 4, "batch_rows": 3, "threads": 1}
    for key, value in {**given, "samples": 2, "temperature": 0.8, "device": "cpu"}.items():
        workspace.set(f"sample.{key}", value)
    return "sample@base", "data/completions/base"


def score(_workspace: Workspace, _tiny: Path) -> tuple[str, str]:
    completions.write()
    return "score@base", "data/scores/base"


def coreset(workspace: Workspace, _tiny: Path) -> tuple[str, str]:
    corpora.write_corpus(corpora.functions(700))
    with artifacts.create("data/embeddings", stage="embed", inputs=[artifacts.open("data/corpus")]) as out:
        np.save(out / "embeddings.npy", np.random.default_rng(1).standard_normal((700, 16)).astype(np.float16))
    workspace.set("coreset.parts", 3)
    return "coreset", "data/coreset"


@pytest.fixture
def here(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Runs a stage in this process, where torch is loaded already, and gives its log."""
    monkeypatch.setenv(shards.VARIABLE, "")  # and so is put back at the end
    monkeypatch.setenv("TIDEMILL_LOG", "debug")  # a line for every save
    before = signal.getsignal(signal.SIGTERM)

    def run(words: str) -> str:
        caplog.clear()
        assert runner.main(words.split()) == 0
        return "\n".join(record.getMessage() for record in caplog.records)

    yield run
    signal.signal(signal.SIGTERM, before)


def made(said: str) -> int:
    """Saves, or for score programs, of which a log says that they were made."""
    return len(re.findall(r"(?:encoded shard|answered batch|chose piece) \d+ of", said)) + sum(
        int(count) for count in re.findall(r"(\d+) programs, isolation", said)
    )


def taken(path: str) -> tuple[str, dict[str, Any]]:
    """An artifact's root and its stage's metrics, once."""
    seal = Path(path, "artifact.json")
    root = json.loads(seal.read_text())["root"]
    assert artifacts.open(path).root == root
    seal.unlink()
    (metrics,) = Path("metrics").glob("*.json")
    return root, json.loads(metrics.read_text())


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("prepare", [embed, coreset, sample, score])
def test_shards_give_the_bytes_of_one_run(
    prepare: Callable[[Workspace, Path], tuple[str, str]], workspace: Workspace, tiny: Path, here: Callable[[str], str]
) -> None:
    share_out(*prepare(workspace, tiny), here)


@pytest.mark.slow
@pytest.mark.torch
def test_a_shard_describes_only_what_it_writes_itself(
    workspace: Workspace, tiny: Path, here: Callable[[str], str], shared_data: Callable[[str], Path]
) -> None:
    workspace.set("sample.data", str(shared_data("humanevalpack").parent))
    workspace.set("sample.benchmark", "humanevalexplain-go")
    share_out(*sample(workspace, tiny), here)  # no save is made by two shards: no description either


def share_out(stage: str, path: str, here: Callable[[str], str]) -> None:
    """Run the stage by itself, then by one, two and three shards: the same bytes, and each save made once."""
    saves = made(here(stage))
    whole = taken(path)
    for count in (1, 2, 3):
        shared = [here(f"{stage} --shard {index}/{count}") for index in reversed(range(count))]
        assert not Path(path, artifacts.SEAL).exists(), "a shard seals nothing"
        assert sum(map(made, shared)) == saves and all(0 < made(one) < saves for one in shared if count > 1)
        assert not made(here(stage)), "no save is made twice"
        assert taken(path) == whole
        assert not list(Path(".tidemill/checkpoints").glob("*/*/*"))


@pytest.mark.slow
@pytest.mark.torch
def test_shards_beside_each_other_one_killed_another_never_run(
    workspace: Workspace, tiny: Path, here: Callable[[str], str]
) -> None:
    stage, path = embed(workspace, tiny)
    here(stage)
    whole = taken(path)
    process = workspace.start(f"{stage} --shard 1/3")
    assert process.stdout and any("encoded shard" in line for line in process.stdout)
    process.send_signal(signal.SIGSTOP)  # it holds its stage's lock, and its own
    here(f"{stage} --shard 0/3")
    refused = workspace.run(f"{stage} --shard 1/3")
    assert refused.returncode == 3 and "embed.shard1of3 is already running as process" in refused.stderr
    refused = workspace.run(stage)
    assert refused.returncode == 3 and "embed is already running" in refused.stderr
    process.kill()
    process.wait(240)
    process.stdout.close()
    saves = {save: save.stat().st_mtime_ns for save in Path(".tidemill/checkpoints").rglob("checkpoint.json")}
    again = here(f"{stage} --shard 0/3")
    assert not made(again)
    said = here(stage)
    assert made(said) == 5 - len(saves), "what the killed shard and the absent one had not made"
    assert taken(path) == whole


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("embed --shard 4/4", r"--shard takes INDEX/COUNT, 0/4 to 3/4 for four shards; found '4/4'"),
        ("embed --shard two", r"found 'two'"),
        ("embed --shard", r"remove '--shard'"),
        ("assemble --shard 0/2", r"assemble cannot be sharded; collect, filter, embed, coreset, sample and score can"),
    ],
)
def test_bad_shards(workspace: Workspace, words: str, message: str) -> None:
    ran = workspace.run(words)
    assert ran.returncode == 3 and message in ran.stderr, ran.stderr


def test_every_save_is_somebodys_and_only_one_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for total, count in [(0, 3), (1, 3), (10, 3), (5, 7)]:
        found: list[int] = []
        for index in range(count):
            monkeypatch.setenv(shards.VARIABLE, f"{index}/{count}")
            found += shards.mine(total)
        assert sorted(found) == list(range(total))
    monkeypatch.delenv(shards.VARIABLE)
    assert shards.mine(7) == range(7) and not shards.is_one()
    with pytest.raises(BadInput):
        shards.parse("0/0")


def test_the_table_of_images_says_who_shards() -> None:
    table = YAML(typ="safe").load(REPOSITORY / "containers/stages.yaml")
    graph = grimp.build_graph("stages")
    importers = {name.partition(".")[2] for name in graph.find_modules_that_directly_import("stages.lib.shards")}
    stages = {name for name in importers if not name.startswith("lib.")}
    assert stages == {name for name, entry in table.items() if entry.get("shards")}
