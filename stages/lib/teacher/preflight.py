"""The first contact with an endpoint, before any row: what it serves, said in words if that does not fit.

It asks for the list of models, which costs nothing. Only where a free endpoint lists other names than `teacher.model`
does it also ask for one token, because some servers answer under any name and some name another model. Neither is
journaled, and nothing here can change an answer.
"""

import asyncio
import logging
from collections.abc import Sequence

from stages.lib.teacher.endpoint import Endpoint
from stages.lib.teacher.exchange import Request
from stages.lib.teacher.faults import Failed, Refused
from stages.lib.teacher.settings import Settings

SHOWN = 5  # model names in a message

log = logging.getLogger(__name__)


async def meet(endpoints: Sequence[Endpoint], settings: Settings) -> None:
    """Meet all of `endpoints`. Raises `BadInput` for one that has no such model or answers as another."""
    await asyncio.gather(*(_meet(one, settings) for one in endpoints))


async def _meet(endpoint: Endpoint, settings: Settings) -> None:
    try:
        names = await endpoint.names()
    except Failed as failure:
        log.warning(
            "%s cannot be reached (%s); trying for teacher.patience_s = %g s: is it running, and is teacher.base_url "
            "right?",
            *(endpoint.url, failure, settings.patience_s),
        )
        return
    if not names or settings.model in names or settings.answers_as == "*":
        return
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    log.warning("%s serves %s; teacher.model is %s", endpoint.url, shown, settings.model)
    if settings.free:
        body = {"model": settings.model, "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 1}
        try:
            await endpoint.send(Request(body))
        except (Failed, Refused) as fault:
            log.warning("%s, asked for one token, said: %s", endpoint.url, fault)
