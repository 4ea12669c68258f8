"""Loads a causal language model and its tokenizer, for training, answering or export."""

import logging
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from stages.lib import artifacts, checkpoint
from stages.lib.errors import BadInput
from stages.lib.models import prompts
from stages.lib.models.location import locate

UNPACKED = Path(".tidemill/models")  # GGUF files as folders of float32 safetensors

log = logging.getLogger(__name__)


def load_causal(name: str, dtype: str = "float32") -> tuple[Any, Any]:
    """The causal language model `name` with weights of `dtype` and its tokenizer, ready to train and to save.

    A tokenizer without a padding token pads with its end token; labels and attention masks tell the two apart
    by position. Raises `BadInput` for a folder without weights, a model that is not causal, a tokenizer
    without an end token.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        model = _from_folder(folder(name), getattr(torch, dtype))
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"model {name!r} cannot be loaded as a causal language model: {error}") from None
    if locate(name).is_file():
        model.config._name_or_path = ""  # a folder of our own; peft would look for a model of that name elsewhere
    return model, load_tokenizer(name)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of model `name`. Raises `BadInput` if there is none, or if it has no end token."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder(name))
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"model {name!r}: its tokenizer cannot be loaded: {error}") from None
    if tokenizer.eos_token_id is None:
        raise BadInput(f"model {name!r}: its tokenizer has no end token, so no answer could end; name another model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_config(name: str) -> Any:
    """The transformers configuration of model `name`, without its weights. Raises `BadInput` if there is none."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder(name))
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"model {name!r} cannot be loaded as a causal language model: {error}") from None


def look_at_config(name: str) -> Any:
    """As `load_config`, but without unpacking a GGUF file that no run has unpacked yet, which takes a minute."""
    from transformers import AutoConfig

    path = locate(name)
    if path.suffix == ".gguf" and not _place(path, UNPACKED).is_dir():
        return AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    return load_config(name)


def folder(name: str) -> Path:
    """The folder of model `name`: weights, configuration, tokenizer, card.

    A GGUF file is unpacked into one, once: transformers parses it anew, for seconds, at each of its loads.
    """
    path = locate(name)
    return _unpacked(path, UNPACKED, Path.cwd()) if path.suffix == ".gguf" else path


@cache
def _unpacked(path: Path, where: Path, _cwd: Path) -> Path:
    """The sealed folder in `where` of the GGUF file `path`; its half a gigabyte is verified once per process."""
    whole = _place(path, where)
    if not checkpoint.is_valid(whole):
        shutil.rmtree(whole, ignore_errors=True)
        log.info("unpacking %s into %s, once", path.name, whole)
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where) as made:
            _unpack(path, Path(made) / "model")
            _move(Path(made) / "model", whole)
    return whole


def _place(path: Path, where: Path) -> Path:
    """Where in `where` the GGUF file `path` is unpacked to."""
    import transformers

    return where / artifacts.digest([artifacts.hash_file(path), transformers.__version__])[:32]


def _unpack(path: Path, out: Path) -> None:
    """Write the GGUF file `path` to the folder `out`, its weights dequantized to float32, and seal it.

    The weights go through a fresh model, because transformers refuses to save the one that `gguf_file=` gives: it still
    has a quantization config.
    """
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quantized = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype="float32")
    config = quantized.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype="float32")
    model.load_state_dict(quantized.state_dict())
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(out)
    stated = GGUFReader(path).get_field("general.license")
    if stated:
        (out / "README.md").write_text(f"---\nlicense: {stated.contents()}\n---\n")
    checkpoint.seal(out)


def _move(made: Path, where: Path) -> None:
    """Rename `made` to `where`, unless another process has put the same there meanwhile."""
    try:
        made.rename(where)
    except OSError:
        if not checkpoint.is_valid(where):
            raise


def _from_folder(path: Path, dtype: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype=dtype)


def load_tuned(path: Path, dtype: str = "float32") -> tuple[Any, Any]:
    """The model that `train` wrote to `path`: a LoRA adapter over the base named in base.json, or a full model; and the
    tokenizer beside it, which knows the form and the end of answer that were taught.

    An adapter is merged in float32, and the sum rounded to `dtype`.
    """
    import torch

    base = artifacts.read_json(path / "base.json")
    if base["method"] == "full":
        return load_causal(f"path:{path / 'model'}", dtype)
    from peft import PeftModel

    model, _ = load_causal(base["model"])
    merged = PeftModel.from_pretrained(model, path / "adapter").merge_and_unload()
    return merged.to(getattr(torch, dtype)), load_tokenizer(f"path:{path / 'tokenizer'}")


def taught_form(path: Path) -> prompts.FormName:
    """The form of the prompts from which the model in `path` was taught by `train`."""
    form: prompts.FormName = artifacts.read_json(path / "base.json").get("prompt", "alpaca")
    return form


def whole_tuned(path: Path) -> str:
    """The name of the whole tuned model in the folder that `train` wrote. Raises `BadInput` for an adapter alone."""
    if not (path / "model").is_dir():
        raise BadInput(f"{path} has only an adapter, but sample.engine vllm needs a whole model; set train.merge: true")
    return f"path:{path / 'model'}"
