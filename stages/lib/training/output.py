"""Training's output: weights, tokenizer, and a model card that states their origin."""

from pathlib import Path
from typing import Any

from stages.lib import artifacts, templates
from stages.lib.models import causal, prompts
from stages.lib.training.examples import IGNORED, Example

CARD = Path(__file__).with_name("card.md.j2")
CHAT = Path(__file__).with_name("chat.jinja")


def write(
    out: Path,
    model: Any,
    weights: dict[str, Any] | None,
    tokenizer: Any,
    base: str,
    method: str,
    form: prompts.FormName = "alpaca",
) -> None:
    """Write the weights to `out`/adapter (LoRA) or `out`/model (full), the tokenizer, and base.json, by which
    `models.load_tuned` finds the base. The same weights give the same bytes.

    `weights` is given if devices held shares of them; otherwise the model's own are used. A model that was taught in
    the `form` chat keeps its base's chat template.
    """
    taught = {} if form == "alpaca" else {"prompt": form}
    artifacts.write_json(out / "base.json", {"model": base, "method": method, **taught})
    if form == "alpaca":
        tokenizer.chat_template = chat_template()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if method == "full":
        model.save_pretrained(out / "model", state_dict=weights)
        tokenizer.save_pretrained(out / "model")
        return
    for config in model.peft_config.values():
        config.base_model_name_or_path, config.revision = public_name(base)
    model.save_pretrained(out / "adapter", save_embedding_layers=False, state_dict=weights)
    model.generation_config.save_pretrained(out / "adapter")
    (out / "adapter/README.md").unlink()  # peft's empty form; our card is next to base.json
    _in_one_order(out / "adapter/adapter_config.json")
    tokenizer.save_pretrained(out / "tokenizer")


def write_merged(out: Path) -> None:
    """Write `out`/model: the base with `out`/adapter merged in, which loads without peft."""
    model, tokenizer = causal.load_tuned(out)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")


def public_name(base: str) -> tuple[str, str | None]:
    """The name and revision by which peft finds `base`: on the hub or in a folder. A packaged model has neither and
    keeps the name that `models.locate` understands."""
    scheme, _, rest = base.partition(":")
    if scheme == "hub":
        repository, _, revision = rest.partition("@")
        return repository, revision
    return (rest if scheme == "path" else base), None


def licence(base: str) -> str | None:
    """The licence that the base model's card states in its front matter, if it does."""
    card = causal.folder(base) / "README.md"
    if not card.is_file() or not (text := card.read_text(encoding="utf-8")).startswith("---"):
        return None
    from ruamel.yaml import YAML

    stated = YAML(typ="safe", pure=True).load(text.split("---")[1]) or {}
    return str(stated["license"]) if stated.get("license") else None


def chat_template() -> str:
    """A chat template that renders a user's message as the prompt that the model was taught."""
    before, after = prompts.load("without_input").split("{instruction}")
    return CHAT.read_text(encoding="utf-8").replace("BEFORE", before).replace("AFTER", after)


def count(rows: list[Example], too_long: list[Example], held_out: list[Example], tuned: Any) -> dict[str, Any]:
    """What a run has come to, for its metrics and its card: rows, tokens, weights, first and last losses."""
    losses = [entry["loss"] for entry in tuned.entries if "loss" in entry]
    validation = [entry["eval_loss"] for entry in tuned.entries if "eval_loss" in entry] or [None]
    weights = list(tuned.model.parameters())
    return {
        "rows": len(rows),
        "rows_set_aside": len(too_long),
        "validation_rows": len(held_out),
        "tokens": sum(len(row.input_ids) for row in rows),  # of one epoch
        "response_tokens": sum(label != IGNORED for row in rows for label in row.labels),
        "steps": len(losses),
        "parameters": sum(one.numel() for one in weights),
        "trainable_parameters": sum(one.numel() for one in weights if one.requires_grad),
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "validation_loss_before": validation[0],
        "validation_loss_after": validation[-1],
    }


def card(facts: dict[str, Any]) -> str:
    """The model card."""
    return templates.render(CARD, facts)


def _in_one_order(file: Path) -> None:
    """peft keeps the target modules in a set, whose order changes from process to process."""
    config = artifacts.read_json(file)
    ordered = {name: sorted(value) if isinstance(value, list) else value for name, value in config.items()}
    artifacts.write_json(file, ordered)
