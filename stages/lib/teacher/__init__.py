"""The only way to a language model endpoint: an iterator of asks in, an iterator of answers out.

    with teacher.connect(settings, label="generate@1", seed=1) as model:
        for answer in model.answers(asks, total=len(rows)):
            ...

Answers come in the order of the asks, and memory stays bounded. Every response is journaled before it is used, and none
is requested twice; docs/teacher.md follows a request from start to end.
"""

from stages.lib.teacher.asks import Ask, Choice, Text
from stages.lib.teacher.client import Teacher, connect
from stages.lib.teacher.ledger import Answer, Ledger
from stages.lib.teacher.settings import Dialect, Settings

__all__ = ["Answer", "Ask", "Choice", "Dialect", "Ledger", "Settings", "Teacher", "Text", "connect"]
