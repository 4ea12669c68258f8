"""Conversations in a model's own chat template: which tokens are an answer's, and which token ends one.

Where TRL knows the template, or the template marks answers itself (`{% generation %}`), those marks say what the
assistant wrote; otherwise an answer is what the template adds to the prompt with which it is asked for.
"""

from functools import lru_cache
from itertools import accumulate, groupby
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.models import causal, prompts

Message = dict[str, str]
QUESTION = [{"role": "user", "content": "a question"}]
PROBE = "an answer"  # any text that no template has


def load_tokenizer(name: str, form: prompts.FormName, key: str = "train.prompt") -> Any:
    """The tokenizer of model `name`; in the form chat, it ends answers as its template does. Raises `BadInput` as
    `prepare` does."""
    tokenizer = causal.load_tokenizer(name)
    if form == "chat":
        prepare(tokenizer, name, key)
    return tokenizer


def prepare(tokenizer: Any, model: str, key: str) -> None:
    """Make the token that closes an answer in the template the end token: a base model's own often closes documents.

    Raises `BadInput`, naming the parameter `key`, where the tokenizer of `model` has no chat template.
    """
    if not tokenizer.chat_template:
        raise BadInput(
            f"params.yaml: {key}: chat, but the tokenizer of {model} has no chat template; set another form, or name a "
            "model that has one"
        )
    closing = end_token(tokenizer)
    if closing is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(closing)


def end_token(tokenizer: Any) -> int | None:
    """The special token with which the template closes an answer; None where there is none."""
    said = [*QUESTION, {"role": "assistant", "content": PROBE}]
    rest = tokenizer.apply_chat_template(said, tokenize=False).rpartition(PROBE)[2]
    special = _special(tokenizer)
    return next((token for token in _ids(tokenizer, rest) if token in special), None)


def encode(said: list[Message], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """The tokens of a conversation that ends with an answer, and which of them are answers: from the first token that
    the model has to write itself to the end token. A template that leaves the last answer open gets the end token.

    Raises `BadInput` for a template that neither marks answers nor keeps earlier turns as they were.
    """
    template = _marking(tokenizer, tokenizer.chat_template)
    ids, answers = _split(said, tokenizer) if template is None else _marked(said, tokenizer, template)
    special = _special(tokenizer)
    for start, end in _runs(answers):
        closed = next((at for at in range(end - 1, start - 1, -1) if ids[at] in special), end - 1)
        answers[closed + 1 : end] = [False] * (end - closed - 1)  # the line break after an end token
    if not any(answers):
        raise BadInput("train.prompt: chat: this model's template leaves answers out; set train.prompt to alpaca")
    end = _runs(answers)[-1][1]
    if ids[end - 1] in special:
        return ids[:end], answers[:end]
    return [*ids[:end], tokenizer.eos_token_id], [*answers[:end], True]


def _marked(said: list[Message], tokenizer: Any, template: str) -> tuple[list[int], list[bool]]:
    """As the template marks answers, less what the prompt for an answer ends with: some mark a line break of it."""
    made = tokenizer.apply_chat_template(
        said, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, answers = list(made["input_ids"]), [bool(one) for one in made["assistant_masks"]]
    asked, opened = (
        tokenizer.apply_chat_template(QUESTION, chat_template=template, tokenize=False, add_generation_prompt=opens)
        for opens in (False, True)
    )
    opening = _ids(tokenizer, opened.removeprefix(asked))
    for start, _ in _runs(answers):
        for first in range(max(0, start - len(opening) + 1), start):
            if ids[first : first + len(opening)] == opening:
                answers[start : first + len(opening)] = [False] * (first + len(opening) - start)
    return ids, answers


def _split(said: list[Message], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Prompts and answers encoded apart, as they meet when the model answers."""
    ids: list[int] = []
    answers: list[bool] = []
    done = ""
    for at, message in enumerate(said):
        if message["role"] != "assistant":
            continue
        asked = tokenizer.apply_chat_template(said[:at], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(said[: at + 1], tokenize=False)
        if not (asked.startswith(done) and whole.startswith(asked)):
            raise BadInput(
                "train.prompt: chat: this model's template changes earlier turns when later ones follow, and marks no "
                "answers ({% generation %}); set train.prompt to alpaca"
            )
        for text, answer in ((asked[len(done) :], False), (whole[len(asked) :], True)):
            part = _ids(tokenizer, text)
            ids, answers = ids + part, answers + [answer] * len(part)
        done = whole
    return ids, answers


def _runs(answers: list[bool]) -> list[tuple[int, int]]:
    """First and past-the-last place of each run of answer tokens."""
    groups = [(answer, len(list(same))) for answer, same in groupby(answers)]
    ends = list(accumulate(length for _, length in groups))
    return [(end - length, end) for (answer, length), end in zip(groups, ends, strict=True) if answer]


@lru_cache(maxsize=4)
def _marking(tokenizer: Any, template: str) -> str | None:
    """The template that marks answers: `template` itself, or TRL's for it; None if there is none."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        return get_training_chat_template(tokenizer) or template
    except ValueError:
        return None


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _special(tokenizer: Any) -> set[int]:
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)
