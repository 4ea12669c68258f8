"""One request to an OpenAI-compatible endpoint.

A bare HTTP client with a C parser: the openai SDK builds, copies and validates so much per request that it alone takes
several times our whole CPU budget (figures in docs/teacher.md). We use the SDK only for the Batch API (batches.py),
where a request is a line of a file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from stages.lib.errors import BadInput
from stages.lib.teacher import faults, replies
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.faults import Failed, Refused
from stages.lib.teacher.pacing import Pace
from stages.lib.teacher.settings import Settings

CONNECT_S = 10.0
NAMES_S = 10.0  # for the list of models


class Endpoint:
    """The endpoint at `url` with its key and pace; `always` goes into every body but is not part of the request's
    identity; `where` is the key of params.yaml whose keys are `settings`. Opens nothing before the first request."""

    def __init__(
        self,
        url: str,
        settings: Settings,
        pace: Pace,
        key_variable: str = "",
        always: Mapping[str, Any] | None = None,
        local: bool = False,
        where: str = "teacher",
    ) -> None:
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise BadInput("teacher.base_url contains a user name or password; use teacher.api_key_env for the key")
        self.url = url
        self.pace = pace
        self.model = settings.model
        self._settings = settings
        self._always = dict(always or {})
        self._local = local
        self._where = where
        self._key_variable = key_variable
        self.key = read_key(key_variable)
        self._session: Any = None
        self._has_answered = False

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request) -> Reply:
        """The reply to `request`, asked once.

        Raises `Refused` or `Failed` for the row, `BadInput` for what stops the whole run (a refused key, an unknown
        model or address, an account without money, another model's answer).
        """
        body = orjson.dumps({**request.sent, **self._always})
        status, headers, data = await self._post(f"{self.url}/{request.path}", body)
        return self.read(status, headers, data, len(body))

    async def names(self) -> list[str]:
        """The models that the endpoint says it serves; none if it does not say. Raises `Failed` if it cannot be
        reached, and `BadInput` for what is no URL."""
        import aiohttp

        session = self._session or self._open()
        try:
            limit = aiohttp.ClientTimeout(total=NAMES_S)
            async with session.get(f"{self.url}/models", allow_redirects=False, timeout=limit) as response:
                listed = orjson.loads(await response.read()) if response.status == 200 else {}
            return [str(one["id"]) for one in listed["data"]]
        except (aiohttp.ClientConnectorError, TimeoutError) as error:
            raise Failed(self._clean(f"{type(error).__name__}: {error}"), alive=False) from None
        except aiohttp.InvalidURL:
            raise BadInput(f"teacher.base_url {self.url!r} is not a URL; use http://HOST:PORT/v1") from None
        except (aiohttp.ClientError, ValueError, LookupError, TypeError):
            return []

    async def _post(self, url: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """The response's status, headers and body. Raises `Failed`, or `BadInput` for what is no URL."""
        import aiohttp

        session = self._session or self._open()
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                return response.status, response.headers, await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Failed(self._clean(f"{type(error).__name__}: {error}"), alive=False) from None
        except TimeoutError:
            raise Failed("no answer within timeout_s", sent=True, alive=False, slow=True) from None
        except aiohttp.ClientError as error:
            raise Failed(self._clean(f"{type(error).__name__}: {error}"), sent=True, alive=False) from None
        except ValueError:
            raise BadInput(f"teacher.base_url {self.url!r} is not a URL; use http://HOST:PORT/v1") from None

    def read(self, status: int, headers: Mapping[str, str], data: bytes, request_bytes: int) -> Reply:
        """The reply in a response. Raises as `send` does."""
        if status != 200:
            raise self.judge(status, headers, data, request_bytes)
        reply = self._reply(data)
        self._has_answered = True
        return reply

    def judge(self, status: int, headers: Mapping[str, str], data: bytes, request_bytes: int) -> Exception:
        """What a status other than 200 means (`faults.of_status`)."""
        key = self.key, self._key_variable
        return self._widen(faults.of_status(status, headers, data, self.url, *key, request_bytes))

    def _open(self) -> Any:
        import aiohttp

        authorization = {"authorization": f"Bearer {self.key}"} if self.key else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=10),  # `Pace` limits what is in flight
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s, sock_connect=CONNECT_S),
            headers={"content-type": "application/json", "user-agent": "tidemill", **authorization},
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=None if self._local else _proxy(self.url),
        )
        return self._session

    def _widen(self, error: Exception) -> Exception:
        """`BadInput` for a field or a schema that is refused before any request was accepted: every row would fail."""
        if not isinstance(error, Refused) or self._has_answered:
            return error
        if name := faults.refused_field(error, (*faults.ADVICE, *self._settings.extra)):
            advice = faults.advice(name, self._where)
            return BadInput(f"{self.url} does not take {name} as it is sent to {self.model}: {error}; {advice}")
        if faults.refuses_schema(error):
            return BadInput(
                f"{self.url} refuses the answer's schema: {error}; set teacher.schema_limits: false, or "
                "teacher.structured to what it supports: json_object or none"
            )
        return error

    def _reply(self, data: bytes) -> Reply:
        try:
            completion = orjson.loads(data)
            reply = replies.read(completion)
        except (ValueError, LookupError, TypeError, AttributeError):
            shown = data[:80].decode("utf-8", "replace")
            raise Failed(self._clean(f"not a chat completion: {shown!r}"), sent=True) from None
        self._check_model(completion.get("model"))
        return reply

    def _check_model(self, said: Any) -> None:
        """Raise `BadInput` for another model's answer; a dated version of the name is the same model."""
        asked = self.model
        if self._local or not said or said == asked or self._settings.answers_as in ("*", said):
            return
        if not str(said).startswith((f"{asked}-", f"{asked}@", f"{asked}:")):
            raise BadInput(
                f"{self.url} was asked for {asked!r} but answered as {self._clean(str(said))!r}; set teacher.model "
                'to the model that it serves, or teacher.answers_as to that name ("*" for any)'
            )

    def _clean(self, text: str) -> str:
        return faults.clean(text, self.key)


def _proxy(url: str) -> str | None:
    """The environment's proxy for `url`; looked up once, not per request (`trust_env`)."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def read_key(variable: str) -> str:
    """The API key in environment variable `variable`, or in the file that `variable`_FILE names; "" for no variable.

    Raises `BadInput` if there is none; the message never shows the key.
    """
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip() or _in_file(f"{variable}_FILE")
    if not key:
        raise BadInput(f"teacher.api_key_env names {variable}, which is not set; export {variable}=… and run it again")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput(f"environment variable {variable} is not a key: it contains characters that no header may have")
    return key


def _in_file(variable: str) -> str:
    path = os.environ.get(variable, "")
    try:
        return Path(path).read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"environment variable {variable} names a key file that cannot be read") from None
