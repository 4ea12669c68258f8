"""An endpoint's completion as a reply: text, reasoning and tokens, in whichever form a server tells them.

Reasoning comes in a field of its own (`reasoning_content` in llama.cpp, DeepSeek and older vLLM, `reasoning` in vLLM
and OpenRouter), inside the text between <think> and </think>, or not at all, but counted (OpenAI).
"""

from typing import Any

from stages.lib.teacher.exchange import Reply

OPEN, CLOSE = "<think>", "</think>"
REFUSED = "refusal"  # why an answer stopped, where the model says that it refuses


def read(completion: Any) -> Reply:
    """The first answer in a completion or chat completion.

    Raises `LookupError`, `TypeError` or `AttributeError` for what is neither.
    """
    choice = completion["choices"][0]
    finish = choice.get("finish_reason") or ""
    reasoning = ""
    if "text" in choice:
        text = choice["text"] or ""
    else:
        message = choice["message"]
        text, reasoning = message.get("content") or "", message.get("reasoning_content") or message.get("reasoning")
        if not text and message.get("refusal"):
            text, finish = message["refusal"], REFUSED
        elif CLOSE in text or OPEN in text:
            text, reasoning = _split(text, reasoning)
        if likeliest := (choice.get("logprobs") or {}).get("content"):
            text = _likeliest(likeliest)
    if not isinstance(text, str):
        raise TypeError(f"its content is a {type(text).__name__}")
    reasoning = reasoning if isinstance(reasoning, str) else ""
    prompt, answer, thought = _tokens(completion.get("usage") or {}, text, reasoning)
    return Reply(text, finish, prompt, answer, reasoning, thought)


def _likeliest(tokens: list[dict[str, Any]]) -> str:
    import orjson

    return orjson.dumps(tokens[0]["top_logprobs"]).decode()


def _split(text: str, told: Any) -> tuple[str, Any]:
    """The answer and the reasoning before it; `told` apart is kept where the text has none.

    Many chat templates open the tag in the prompt, so that a text only closes it. One that begins as JSON is an answer
    that happens to contain the tag. An unclosed tag means that the answer was cut off while the model reasoned.
    """
    begins = text.lstrip()
    if not begins.startswith(OPEN) and (CLOSE not in begins or begins[0] in "{["):
        return text, told
    reasoning, closed, answer = begins.removeprefix(OPEN).partition(CLOSE)
    return (answer.lstrip() if closed else ""), reasoning.strip()


def _tokens(usage: dict[str, Any], text: str, reasoning: str) -> tuple[int, int, int]:
    """Tokens of the prompt, of the whole answer, and of its reasoning.

    Some endpoints leave reasoning out of the answer's tokens and count it in the total alone. One that counts no
    reasoning though it shows some gets its share of the answer's characters.
    """
    prompt, answer = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    if thought:
        answer = max(answer, (usage.get("total_tokens") or 0) - prompt)
    elif reasoning:
        thought = round(answer * len(reasoning) / (len(reasoning) + len(text)))
    return prompt, answer, thought
