"""A teacher at the stand-in endpoint, as the tests, the soak and the benchmark ask it: settings and questions."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.lib import teacher
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.journal import Journal

SCHEMA = {
    "type": "object",
    "properties": {"instruction": {"type": "string", "minLength": 3}},
    "required": ["instruction"],
    "additionalProperties": False,
}


SETTINGS: dict[str, Any] = {
    "api_key_env": "",
    "model": "stand-in",
    "structured": "json_schema",
    "schema_limits": True,
    "temperature": 0.5,
    "top_p": 1.0,
    "max_tokens": 50,
    "max_reasks": 1,
    "context": 2048,
    "free": True,
    "prices": {},
    "budget_usd": 0.0,
    "concurrency": 8,
    "servers": 1,
    "timeout_s": 5.0,
    "patience_s": 2.0,
    "max_attempts": 4,
}


def settings(url: str, **changes: Any) -> teacher.Settings:
    return teacher.Settings.model_validate({**SETTINGS, "base_url": url, **changes})


def asks(count: int, start: int = 0) -> list[teacher.Ask]:
    return [
        teacher.Ask(f"row {i}", [{"role": "user", "content": f"question {i}"}], SCHEMA) for i in range(start, count)
    ]


def ask_all(knobs: teacher.Settings, questions: Iterable[teacher.Ask], journal: Path) -> list[teacher.Answer]:
    questions = list(questions)
    with teacher.connect(knobs, label="test", seed=1, journal=journal) as model:
        return list(model.answers(questions, total=len(questions)))


def put(journal: Journal, number: int, text: str = "hello") -> Request:
    """Put one answer into the journal and return the request that it answers."""
    request = Request({"model": "m", "messages": number})
    asyncio.run(journal.put(request, Reply(text, "stop", 1, 2), "test", 0.5))
    return request
