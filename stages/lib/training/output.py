"""What training leaves behind: weights, tokenizer, and a model card that says where they come from."""

from pathlib import Path
from typing import Any

from stages.lib import artifacts, prompts

CARD = Path(__file__).with_name("card.md.j2")
CHAT = Path(__file__).with_name("chat.jinja")


def write(out: Path, model: Any, tokenizer: Any, base: str, method: str) -> None:
    """Write the weights to `out`/adapter (LoRA) or `out`/model (full), the tokenizer, and base.json, from which
    `models.load_tuned` finds the base again. The same weights give the same bytes."""
    artifacts.write_json(out / "base.json", {"model": base, "method": method})
    tokenizer.chat_template = chat_template()
    if method == "full":
        model.save_pretrained(out / "model")
        tokenizer.save_pretrained(out / "model")
        return
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
    model.save_pretrained(out / "adapter", save_embedding_layers=False)
    (out / "adapter/README.md").unlink()  # a form to fill in; the card beside base.json is filled in
    _in_one_order(out / "adapter/adapter_config.json")
    tokenizer.save_pretrained(out / "tokenizer")


def chat_template() -> str:
    """A chat template that renders a user's message as the prompt that the model was taught."""
    before, after = prompts.load("without_input").split("{instruction}")
    return CHAT.read_text(encoding="utf-8").replace("BEFORE", before).replace("AFTER", after)


def card(facts: dict[str, Any]) -> str:
    """The model card, with the front matter of https://huggingface.co/docs/hub/model-cards."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(CARD.read_text(encoding="utf-8")).render(facts)


def _in_one_order(file: Path) -> None:
    """peft keeps the target modules in a set, whose order changes from process to process."""
    config = artifacts.read_json(file)
    ordered = {name: sorted(value) if isinstance(value, list) else value for name, value in config.items()}
    artifacts.write_json(file, ordered)
