"""A row in a base model's own chat template: which tokens are learned, what ends an answer."""

from pathlib import Path
from typing import Any

import pytest
import trl
from tiny import SMOLLM2

from stages.lib.errors import BadInput
from stages.lib.models import causal, chat, prompts
from stages.lib.training import examples

pytestmark = pytest.mark.torch

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
MARKED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OPEN = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
LAST_ALONE = "{{ messages[-1].content }}{% if add_generation_prompt %}>{% endif %}"
ROW: dict[str, Any] = {
    "id": "1",
    "system": "Be brief.",
    "history": [{"instruction": "Add.", "output": "a + b"}],
    "instruction": "Subtract.",
    "input": "a, b",
    "output": "a - b",
}


@pytest.fixture
def words() -> Any:
    return causal.load_tokenizer(SMOLLM2)


def learned(example: examples.Example, words: Any) -> str:
    return str(words.decode([label for label in example.labels if label != examples.IGNORED]))


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("", False),
        ((TEMPLATES / "qwen2_5.jinja").read_text(), True),
        ((TEMPLATES / "qwen2_5_training.jinja").read_text(), True),
        (MARKED, True),
    ],
    ids=["SmolLM2", "Qwen2.5, which TRL knows", "Qwen2.5 as TRL marks it", "marked by itself"],
)
def test_every_answer_and_its_end_carry_loss_and_nothing_else(template: str, told: bool, words: Any) -> None:
    words.chat_template = template or words.chat_template
    assert (chat._marking(words, words.chat_template) is not None) == told
    example = examples.encode(ROW, words, "chat")
    assert learned(example, words) == "a + b<|im_end|>a - b<|im_end|>"
    said = words.decode(example.input_ids)
    assert said == words.apply_chat_template(prompts.messages(ROW), tokenize=False).rstrip("\n")
    assert "Be brief.<|im_end|>" in said and "Subtract.\n\na, b<|im_end|>" in said
    alone = {name: ROW[name] for name in ("id", "instruction", "input", "output")}
    asked = words.apply_chat_template(prompts.messages(alone)[:1], add_generation_prompt=True, tokenize=False)
    example = examples.encode(alone, words, "chat")
    first = next(at for at, label in enumerate(example.labels) if label != examples.IGNORED)
    assert example.input_ids[:first] == words(asked, add_special_tokens=False)["input_ids"], "as sample asks it"


def test_an_answer_that_the_template_leaves_open_gets_the_end_token(words: Any) -> None:
    words.chat_template = OPEN
    assert chat.end_token(words) is None
    assert learned(examples.encode(ROW, words, "chat"), words) == "a + b\na - b\n<|im_end|>"


def test_the_end_of_an_answer_is_the_template_s_not_the_tokenizer_s(words: Any) -> None:
    words.eos_token = "<|endoftext|>"
    chat.prepare(words, "path:base", "train.prompt")
    assert words.eos_token == "<|im_end|>"
    words.chat_template = None
    with pytest.raises(BadInput, match=r"train\.prompt: chat, but the tokenizer of path:base has no chat template"):
        chat.prepare(words, "path:base", "train.prompt")


def test_templates_from_which_answers_cannot_be_told_are_refused(words: Any) -> None:
    words.chat_template = LAST_ALONE
    with pytest.raises(BadInput, match="changes earlier turns when later ones follow"):
        examples.encode(ROW, words, "chat")
    words.chat_template = MARKED.replace("m.content + '<|im_end|>' }}{% endgen", "'' }}{% endgen")
    with pytest.raises(BadInput, match="leaves answers out"):
        examples.encode(ROW, words, "chat")


def test_a_template_that_rewrites_earlier_turns_is_used_as_trl_mends_it(words: Any) -> None:
    words.chat_template = (TEMPLATES / "qwen3.jinja").read_text()
    thought = "<think>\n\n</think>\n\n"
    assert learned(examples.encode(ROW, words, "chat"), words) == f"{thought}a + b<|im_end|>{thought}a - b<|im_end|>"


def test_without_a_place_for_a_system_message_it_comes_before_the_first_instruction(words: Any) -> None:
    said = words.decode(examples.encode(ROW, words).input_ids)
    assert said.startswith(prompts.render("Be brief.\n\nAdd.")) and said.count("Be brief.") == 1
    assert prompts.fold({key: value for key, value in ROW.items() if key != "history"})["instruction"] == (
        "Be brief.\n\nSubtract."
    )
