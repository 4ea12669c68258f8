"""One request to an OpenAI-compatible endpoint, through the protocol owner's client, and what its failures mean."""

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.settings import Settings

CONNECT_S = 10
FAULT_LENGTH = 300


class Refused(Exception):
    """The endpoint will never answer this request: the row is a dead letter."""


class Failed(Exception):
    """This attempt failed and another may succeed. `retry_after` is what the endpoint asked for, in seconds;
    `sent` says that the request may have been answered, and so charged; `alive` that somebody was there."""

    def __init__(self, fault: str, retry_after: float = 0.0, sent: bool = False, alive: bool = True) -> None:
        super().__init__(fault)
        self.retry_after, self.sent, self.alive = retry_after, sent, alive


class Endpoint:
    """The endpoint at `url`; `extra` goes into every body but is no part of the request's identity."""

    def __init__(self, url: str, settings: Settings, extra: Mapping[str, Any], local: bool) -> None:
        import openai

        for chatty in ("httpx2", "openai"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise BadInput("teacher.base_url holds a user name or password; put the key in a variable (api_key_env)")
        self.url = url
        self.in_flight = 0
        self._extra = dict(extra)
        self._key = _key(settings.api_key_env)
        self._key_variable = settings.api_key_env
        self._client = openai.AsyncOpenAI(
            base_url=url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=openai.Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s)),
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not local),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(self, request: Request) -> Reply:
        """The reply to `request`, asked once.

        Raises `Refused` or `Failed` for the row, `BadInput` for what no row of this run can survive
        (a key that is refused, a model or address that is not there, an account without money).
        """
        import openai

        self.in_flight += 1
        try:
            completion = await self._client.chat.completions.create(**request.body, extra_body=self._extra)
        except openai.APITimeoutError:
            raise Failed("no answer within timeout_s", sent=True, alive=False) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            never_sent = "Connect" in type(cause).__name__
            raise Failed(self._clean(f"{type(cause).__name__}: {cause}"), sent=not never_sent, alive=False) from None
        except openai.APIStatusError as error:
            raise self._judge(error) from None
        except openai.APIError as error:  # a body that is no JSON, or not the protocol's
            raise Failed(self._clean(f"not a chat completion: {error}"), sent=True) from None
        except ValueError as error:
            raise Failed(self._clean(f"not a chat completion: {error}"), sent=True) from None
        finally:
            self.in_flight -= 1
        return self._reply(completion)

    def _reply(self, completion: Any) -> Reply:
        choices = getattr(completion, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        if choice is None or message is None:
            raise Failed(self._clean(f"not a chat completion: {str(completion)[:80]!r}"), sent=True)
        usage = getattr(completion, "usage", None)
        return Reply(
            text=message.content or getattr(message, "refusal", None) or "",
            finish=choice.finish_reason or "",
            prompt_tokens=getattr(usage, "prompt_tokens", 0) or 0,
            completion_tokens=getattr(usage, "completion_tokens", 0) or 0,
        )

    def _judge(self, error: Any) -> Exception:
        status = error.status_code
        said = self._clean(f"HTTP {status}: {_said(error)}")
        if status in (401, 403):
            where = f"environment variable {self._key_variable}" if self._key_variable else "teacher.api_key_env, unset"
            return BadInput(f"{self.url} refuses the key (from {where}): {said}")
        if status in (301, 302, 307, 308, 404, 405):
            return BadInput(f"{self.url} has no such model or address: {said}; see teacher.base_url and teacher.model")
        if status == 429 and "insufficient_quota" in said:
            return BadInput(f"{self.url} refuses to go on: {said}")
        if status in (408, 409, 425, 429) or status >= 500:
            return Failed(said, retry_after=_retry_after(error.response.headers))
        return Refused(said)

    def _clean(self, text: str) -> str:
        """`text` in a line, without the key, whoever put it there."""
        if self._key:
            text = text.replace(self._key, "[key]")
        return re.sub(r"\s+", " ", text).strip()[:FAULT_LENGTH]


def _said(error: Any) -> str:
    body = error.body
    if isinstance(body, Mapping):
        tokens = f" ({body['n_prompt_tokens']} prompt tokens)" if "n_prompt_tokens" in body else ""
        kind = body.get("code") if isinstance(body.get("code"), str) else body.get("type")
        return f"{body.get('message', body)}{tokens}" + (f" [{kind}]" if kind else "")
    return str(body or error.message)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait by the Retry-After header (RFC 9110, 10.2.3): a number or a date; 0 where there is none."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise BadInput(f"teacher.api_key_env names {variable}, which is not set; export {variable}=… and run it again")
    return key
