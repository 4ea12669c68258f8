"""Writes the tuned model as one GGUF file, for llama.cpp and tools built on it: `make gguf OUT=tuned.gguf`.

Llama models whose base is a GGUF file are written here: the base's vocabulary and settings plus the merged weights in
float16 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). All others go through llama.cpp's own converter,
convert_hf_to_gguf.py, which must be on PATH.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stages.lib import artifacts
from stages.lib.errors import BadInput
from stages.lib.models import causal, location

CONVERTER = "convert_hf_to_gguf.py"
TUNED = Path("models/tuned")


def main(arguments: list[str]) -> None:
    """Write models/tuned to the file that `arguments` name. Raises `BadInput` if that is impossible."""
    if len(arguments) != 1:
        raise BadInput("name one output file: make gguf OUT=tuned.gguf")
    artifacts.open(TUNED)
    export(TUNED, Path(arguments[0]))
    print(f"{arguments[0]}: {Path(arguments[0]).stat().st_size / 2**20:.0f} MiB")


def export(tuned: Path, file: Path) -> None:
    """Write the model in `tuned` to `file`. Raises `BadInput` if it needs a converter that is missing."""
    base = location.locate(artifacts.read_json(tuned / "base.json")["model"])
    model, tokenizer = causal.load_tuned(tuned)
    if base.suffix == ".gguf" and model.config.model_type == "llama":
        _write(model, tokenizer, base, file)
        return
    converter = shutil.which(CONVERTER)
    if converter is None:
        raise BadInput(
            f"a {model.config.model_type} model whose base is {base.name} needs llama.cpp's {CONVERTER} on PATH: clone "
            "https://github.com/ggml-org/llama.cpp, install its requirements, and put the clone on PATH"
        )
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        command = [sys.executable, converter, folder, "--outfile", str(file), "--outtype", "f16"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BadInput(f"{CONVERTER} failed: {done.stderr.strip()[-500:]}")


def _write(model: Any, tokenizer: Any, base: Path, file: Path) -> None:
    """A Llama's weights with its base's metadata, and the chat template and end token of the training."""
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(base)
    writer = gguf.GGUFWriter(file, "llama")
    replaced = {
        gguf.Keys.Tokenizer.CHAT_TEMPLATE,
        gguf.Keys.Tokenizer.EOS_ID,
        gguf.Keys.General.FILE_TYPE,
        gguf.Keys.General.ARCHITECTURE,
    }
    for field in reader.fields.values():
        if field.name in replaced or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        writer.add_key_value(
            field.name, field.contents(), kind, sub_type=field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        )
    writer.add_chat_template(tokenizer.chat_template)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    for name, weights in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        array = _in_gguf_order(name, weights.float().numpy(), model.config)
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise BadInput(f"{name}: GGUF has no name for these weights; export with llama.cpp's {CONVERTER}")
        writer.add_tensor(known, array.astype(np.float16 if array.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _in_gguf_order(name: str, weights: Any, config: Any) -> Any:
    """Reorder the rows of a query or key projection as convert_hf_to_gguf.py does: llama.cpp rotates neighbouring pairs
    of a head's values, transformers its two halves."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((number for part, number in heads.items() if f".{part}." in name), None)
    if count is None:
        return weights
    halves = weights.reshape(count, 2, weights.shape[0] // count // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)
