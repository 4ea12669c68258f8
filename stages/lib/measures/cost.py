"""What a dataset cost."""

from collections.abc import Sequence
from typing import Any

from stages.lib.records import Row


def spent(parts: Sequence[Row], kept: int, passed: int) -> dict[str, Any]:
    """US dollars and tokens of all `parts` (metrics of requests), over the dataset's `kept` rows and over the `passed`
    verdicts; None over nothing."""
    usd = sum(part.get("spend_usd", 0.0) for part in parts)
    prompt, completion = (sum(part.get(f"{kind}_tokens", 0) for part in parts) for kind in ("prompt", "completion"))
    tokens = prompt + completion
    return {
        "usd": round(usd, 6),
        "usd_per_kept_row": _over(usd, kept, 6),
        "usd_per_passed_row": _over(usd, passed, 6),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "tokens": tokens,
        "tokens_per_kept_row": _over(tokens, kept, 4),
        "tokens_per_passed_row": _over(tokens, passed, 4),
    }


def _over(amount: float, rows: int, digits: int) -> float | None:
    return round(amount / rows, digits) if rows else None
