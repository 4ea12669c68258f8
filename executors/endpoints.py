"""The models that a run asks, each tried with one real request before any stage runs.

So it is said within ten seconds that an endpoint is down, slow, has no such model, or does not give the form of answer
that the parameters want.
"""

import os
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from executors.tracking import graph
from stages.lib import params, teacher
from stages.lib.errors import BadInput
from stages.lib.methods.method import asks_teacher
from stages.lib.models import weights
from stages.lib.teacher.budget import Prices
from stages.lib.teacher.client import ANSWERS
from stages.lib.teacher.journal import FOLDER
from stages.lib.teacher.settings import EMBEDDED, Settings

ASKING = ("generate", "judge")
ENDPOINT_S, EMBEDDED_S = 7.0, 300.0  # seconds for one request; an embedded model has to be loaded first
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "minLength": 1, "maxLength": 400}},
    "required": ["word"],
    "additionalProperties": False,
}


@dataclass
class Model:
    """A model that a run asks. `who`: the keys that name it; `chooses`: it is asked for a probability; after `ask_all`,
    `seconds` that the answer took, or its `fault`, which may be that it is `slow`, or why it was `skipped`."""

    who: str
    settings: Settings
    chooses: bool
    seconds: float | None = None
    fault: str = ""
    slow: bool = False
    skipped: str = ""

    def __str__(self) -> str:
        where = "embedded" if self.settings.base_url == EMBEDDED else self.settings.base_url
        said = self.fault or self.skipped or f"answers, in {self.seconds:.1f} s"
        return f"{self.who}: {self.settings.model} ({where}): {said}"


def warn() -> None:
    """Before a run: say what is wrong with its endpoints, unless no stage that asks them is stale.

    Raises `BadInput` for a fault where there is no journal; with one, the answers may all be there already. A slow
    endpoint is said, and may be right for who is patient.
    """
    if os.environ.get("EXECUTOR", "local") not in ("", "local", "container") or ANSWERS in os.environ:
        return  # an endpoint of a cluster need not be in reach from here, and a replay asks none
    try:
        found = models(params.merged())
        tried = [one for one in found if one.settings.base_url != EMBEDDED and one.settings.free]
        for one in ask_all(tried, patient=True):
            if one.slow:
                print(one, file=sys.stderr, flush=True)
    except BadInput as error:
        if all(stage.fresh for name, stage in graph.load().items() if name.partition("@")[0] in ASKING):
            return
        if not (FOLDER / "exchanges.log").is_file():
            raise
        print(f"{error}\nOnly what the journal answers will be there.", file=sys.stderr, flush=True)


def models(values: dict[str, Any]) -> list[Model]:
    """The models that a run with the parameters `values` asks, each once."""
    found: dict[tuple[str, str, bool], Model] = {}
    for stage in (stage for stage in ASKING if stage in values):
        if stage == "generate" and not asks_teacher(values[stage]):
            continue
        own = params.completed(values, stage)["teacher"]
        for number, overrides in enumerate([{}, *values[stage].get("panel", [])]):
            who = f"{stage}.teacher" if number == 0 else f"{stage}.panel[{number - 1}]"
            settings = read_settings(who, {**own, **overrides})
            chooses = stage == "judge" and values["judge"]["answers"] == "probability"
            same = found.setdefault((settings.base_url, settings.model, chooses), Model(who, settings, chooses))
            if same.who != who:
                same.who += f", {who}"
    return list(found.values())


def read_settings(key: str, teacher: dict[str, Any]) -> Settings:
    """The teacher at `key`. Raises `BadInput` if it is neither priced nor free."""
    try:
        settings = Settings.model_validate(teacher)
    except ValidationError as error:
        raise BadInput(f"{params.FILE}: {key}: {error}") from None
    Prices(settings)
    return settings


def ask_all(asked: list[Model], patient: bool = False) -> list[Model]:
    """Ask all endpoints at once and then each embedded model.

    Raises `BadInput`, naming each that cannot be used; if `patient`, not for those that are only slow.
    """
    endpoints = [one for one in asked if one.settings.base_url != EMBEDDED]
    threads = [threading.Thread(target=_ask, args=(one, ENDPOINT_S), daemon=True) for one in endpoints]
    for thread in threads:
        thread.start()
    until = time.monotonic() + ENDPOINT_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    for one in asked:
        if one.settings.base_url == EMBEDDED:
            _ask_embedded(one)
        elif one.seconds is None and not one.fault:
            _call_slow(one)
    if any(one.fault and not (patient and one.slow) for one in asked):
        raise BadInput("\n  ".join(["a model cannot be used:", *map(str, asked)]))
    return asked


def _ask_embedded(model: Model) -> None:
    name = model.settings.model.removeprefix(weights.SCHEME)
    if name != model.settings.model and not weights.load(name).path.is_file():
        size = weights.load(name).bytes / 1e6
        model.skipped = f"not asked, since its {size:.0f} MB aren't here yet; `make weights NAME={name}` fetches them"
        return
    _ask(model, EMBEDDED_S)


def _ask(model: Model, seconds: float) -> None:
    """Ask `model` once. A priced request is journaled, so that its cost counts; a free one leaves nothing."""
    embedded = model.settings.base_url == EMBEDDED  # another may have to reason first
    most = min(100, model.settings.max_tokens) if embedded else model.settings.max_tokens
    quick = model.settings.model_copy(
        update={
            "timeout_s": min(seconds, model.settings.timeout_s),
            "patience_s": 3600.0,  # the one attempt says more than the silence after it
            "max_attempts": 1,
            "max_reasks": 0,
            "max_tokens": most,
            "batch_rows": 0,
            "servers": 1,
            "budget_usd": max(model.settings.budget_usd, 0.1),
        }
    )
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) if quick.free else FOLDER
            with teacher.connect(quick, label="check", seed=1, journal=place) as connected:
                answer = next(iter(connected.answers([_question(model.chooses)], total=1)))
    except BadInput as error:
        model.fault = str(error)
        return
    if answer.value is None:
        if "within timeout_s" in answer.fault:
            _call_slow(model)
            return
        model.fault = _explain(answer.fault, model)
    model.seconds = time.monotonic() - began


def _question(chooses: bool) -> teacher.Ask | teacher.Choice:
    row = uuid.uuid4().hex  # no journal has it
    if chooses:
        asked = [{"role": "user", "content": f"Is {row} a word of English? Answer Yes or No."}]
        return teacher.Choice(row, asked, ("Yes", "No"))
    asked = [{"role": "user", "content": f'Answer in JSON, {{"word": …}}, with an English word. ({row})'}]
    return teacher.Ask(row, asked, SCHEMA)


def _call_slow(model: Model) -> None:
    model.slow, model.seconds = True, None
    model.fault = (
        f"no answer within {ENDPOINT_S:g} s: the endpoint hangs, is slow or is still loading the model; try again, or "
        f"lower the load on it (a stage waits {model.settings.timeout_s:g} s, teacher.timeout_s)"
    )


def _explain(fault: str, model: Model) -> str:
    if "Connector" in fault or "Connection" in fault:
        return f"cannot be reached ({fault.rpartition('last: ')[2]}); is it running, and is teacher.base_url right?"
    if model.chooses:
        return f"gives no probabilities ({fault}); set judge.answers: reasons"
    return f"does not answer as asked ({fault}); set teacher.structured to what it supports: json_object or none"
