"""The values of a profile for one's own code, and what the run then takes."""

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from commands.plan import teachers, training
from executors.endpoints import Model
from stages.lib import artifacts, params, records
from stages.lib.errors import BadInput
from stages.lib.methods import bringing
from stages.lib.tasks import slices
from stages.lib.teacher.settings import EMBEDDED

ROWS = 500
MOST_TASKS = 4  # rows of one function, each of another task
LOCAL_CONCURRENCY, HOSTED_CONCURRENCY = 8, 32
HOSTED_KEY = "OPENAI_API_KEY"
TRIAL_PROMPT, TRIAL_ANSWER = 60, 12  # tokens of the request with which a model is tried
PROMPT_SPEED = 10  # tokens of a prompt that are read while one of an answer is written


@dataclass(frozen=True)
class Wish:
    """What the person typed; "" for what they left out. `source` is code, and `data` the rows of another tool, of which
    `license`, `language` and `columns` say more."""

    source: str
    rows: int
    data: str = ""
    license: str = ""
    language: str = ""
    columns: str = ""
    teacher: str = ""
    model: str = ""
    judge: str = ""
    key: str = ""
    price: str = ""
    budget: str = ""
    name: str = ""

    def check(self) -> None:
        """Raise `BadInput` for words that do not go together."""
        if bool(self.source) == bool(self.data):
            raise BadInput(
                "name your code: make dataset SOURCE=~/code/project (a folder, git URL, archive, file, package), or "
                "another tool's rows: make dataset DATA=rows.jsonl"
            )
        if not self.data and (self.license or self.language or self.columns):
            raise BadInput("LICENSE, LANGUAGE and COLUMNS are of another tool's rows: make dataset DATA=rows.jsonl …")
        if bool(self.teacher) != bool(self.model):
            raise BadInput("TEACHER and MODEL go together: make dataset … TEACHER=http://localhost:8000/v1 MODEL=name")
        if self.teacher and not urlsplit(self.teacher).hostname:
            raise BadInput(f"TEACHER={self.teacher} is no URL; use http://HOST:PORT/v1")
        if not self.teacher and (self.judge or self.key or self.price or self.budget):
            raise BadInput(
                "JUDGE, KEY, PRICE and BUDGET are of an endpoint: add TEACHER=http://HOST:PORT/v1 MODEL=name"
            )
        if self.teacher and not self.is_local and not (self.price and self.budget):
            raise BadInput(
                f"{self.teacher} is not on this network, so it may cost money: add PRICE=IN/OUT, its US dollars per "
                "million tokens of prompt and answer, and BUDGET=DOLLARS, the most that each stage may spend in a round"
            )
        self.read_prices()

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is this machine or one of its network, and so taken to be free."""
        host = urlsplit(self.teacher).hostname or ""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return "." not in host or host.endswith((".local", ".internal", ".lan"))
        return address.is_private or address.is_loopback

    def read_prices(self) -> dict[str, float] | None:
        """US dollars per million tokens. Raises `BadInput` for a price or a budget that is no number."""
        if not self.price:
            return None
        try:
            prompt, completion = (float(part) for part in self.price.split("/"))
            float(self.budget or "nothing")
        except ValueError:
            raise BadInput(f"PRICE={self.price} BUDGET={self.budget}: use PRICE=0.15/0.60 BUDGET=5") from None
        return {"prompt": prompt, "completion": completion}


def slug(name: str) -> str:
    """`name` as a profile's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "own"


def values(wish: Wish, found: dict[str, Any], held: dict[str, Any], functions: int | None) -> dict[str, Any]:
    """The profile for the source `found`. `held`: the parameters now; `functions`: how many the teacher can be asked
    about, None if that is not known yet."""
    rounds = held["generate"]["rounds"]
    tasks = 1 if functions is None else min(MOST_TASKS, max(1, math.ceil(wish.rows / max(1, functions))))
    most = wish.rows if functions is None else functions
    each = math.ceil(min(wish.rows / tasks, most) / rounds)
    profile: dict[str, Any] = {
        "collect": {"sources": [found]},
        "coreset": {"k": max(4 * wish.rows, 1)},
        "generate": {"rows_per_round": each, "tasks_per_function": tasks},
    }
    return _with_endpoint(profile, wish) if wish.teacher else profile


def _with_endpoint(profile: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """As profiles/openai.yaml, for any endpoint: a stronger teacher needs fewer crutches."""
    judge, prices = wish.judge or wish.model, wish.read_prices()
    budget = float(wish.budget) if prices else 0.0
    profile["teacher"] = {
        "base_url": wish.teacher,
        "api_key_env": wish.key or ("" if wish.is_local else HOSTED_KEY),
        "model": wish.model,
        "schema_limits": False,
        "max_tokens": 1200,
        "free": prices is None,
        "prices": dict.fromkeys(sorted({wish.model, judge}), prices) if prices else {},
        "budget_usd": budget,
        "concurrency": LOCAL_CONCURRENCY if wish.is_local else HOSTED_CONCURRENCY,
    }
    if not wish.data:
        profile["generate"] |= {
            "documentation": "shown",
            "max_code_tokens": 600,
            "pool": {"cases": 40, "max_characters": 2000},
        }
    profile["judge"] = {"answers": "reasons", "examples": 2, "teacher": {"model": judge}}
    return profile


def values_of_rows(wish: Wish, file: str) -> dict[str, Any]:
    """The profile for the rows in `file` that another tool wrote. Raises `BadInput` for COLUMNS without a form."""
    pairs = [pair.partition("=") for pair in wish.columns.replace(",", " ").split()]
    if wrong := [key + sign for key, sign, name in pairs if not name]:
        raise BadInput(f'COLUMNS: {wrong[0]!r} names no column; use COLUMNS="output=response tests=unit_tests"')
    said = {"license": wish.license, "language": wish.language, "columns": {key: name for key, _, name in pairs}}
    foreign = {"file": file, **{key: value for key, value in said.items() if value}}
    profile: dict[str, Any] = {"generate": {"method": "foreign", "foreign": foreign}}
    return _with_endpoint(profile, wish) if wish.teacher else profile


def preview(wish: Wish, held: dict[str, Any]) -> dict[str, Any]:
    """The parameters `held` under the wish's endpoint, before there is a profile."""
    return dict(params.over(held, _with_endpoint({"generate": {}}, wish))) if wish.teacher else held


def suitable(generate: dict[str, Any]) -> int:
    """How many functions of data/corpus generate's parameters let the teacher be asked about. Raises `BadInput` for
    none."""
    corpus = artifacts.open("data/corpus")
    rows = records.read(corpus.parts("corpus.parquet"), records.FUNCTION).to_pylist()
    documented = generate["documentation"] == "required"
    fitting, set_aside = slices.take_slice(rows, 1, 1, len(rows) + 1, generate["max_code_tokens"], documented)
    if not fitting:
        why = set_aside[0]["reason"] if set_aside else "all were dropped"
        raise BadInput(
            f"none of the {len(rows)} functions that filter kept can be asked about ({why}); loosen "
            "generate.max_code_tokens or generate.documentation in a profile of your own, under which make dataset runs"
        )
    return len(fitting)


def plan(held: dict[str, Any], asked: Sequence[Model], wanted: int) -> list[str]:
    """Rows, requests, tokens, US dollars and minutes of a run for `wanted` rows, as lines."""
    generate = held["generate"]
    filtered = artifacts.read_json(Path("metrics/filter.json"))
    functions = suitable(generate)
    asked_about = min(functions, generate["rows_per_round"] * generate["rounds"])
    rows = asked_about * generate["tasks_per_function"]
    said = [
        f"corpus    {filtered['rows_out']:,} of {filtered['rows_in']:,} functions pass the filter, {functions:,} "
        "suit the teacher",
        f"rows      {rows:,} for the teacher to write; checks and judge keep a part of them",
        *_cost(held, asked),
    ]
    if rows < wanted:
        rule, count = max(filtered["dropped"].items(), key=lambda item: item[1])
        said.append(
            f"note      there is no code for {wanted:,} rows; the filter's rule {rule} dropped most, {count:,} "
            "functions (section filter of params.yaml)"
        )
    return said


def plan_of_rows(held: dict[str, Any], asked: Sequence[Model], entries: Sequence[bringing.Entry]) -> list[str]:
    """As `plan`, for another tool's rows: which of them cannot be used, and what it takes to judge the rest."""
    bad, again = bringing.faults(entries), sum(one.repeats for one in entries)
    said = [
        f"rows      {sum(one.candidate is not None for one in entries):,} of {len(entries):,} go to checks and judge"
    ]
    if bad:
        said.append(f"faults    {len(bad):,}, which become dead letters: {bringing.listed(bad)}")
    if again:
        said.append(f"repeats   {again:,} that say what an earlier row says")
    return [*said, *_cost(held, asked)]


def _cost(held: dict[str, Any], asked: Sequence[Model]) -> list[str]:
    lines = teachers.generation(held)
    most = sum(min(line.most, line.budget) if line.budget is not None else 0.0 for line in lines)
    spend = sum(line.spend for line in lines)
    who = "teacher and judge" if any(line.stage.startswith("generate") for line in lines) else "the judge"
    return [
        f"requests  {sum(line.requests for line in lines):,} to {who}, "
        f"{sum(line.prompt for line in lines):,} tokens in and {sum(line.answer for line in lines):,} out",
        f"dollars   {spend:.2f}, at most {most:.2f}" if most else "dollars   none",
        f"time      {_time(lines, asked)}",
    ]


def _time(lines: Sequence[teachers.Line], asked: Sequence[Model]) -> str:
    """How long the requests take, by the one that was timed: its seconds for each token of prompt and answer."""
    seconds = 0.0
    for line in lines:
        stage = line.stage.partition("@")[0]
        model = next(one for one in asked if f"{stage}.teacher" in one.who.split(", "))
        if model.seconds is None:
            return "not known: a model is slow" if model.slow else "not known: a model isn't here yet"
        settings = model.settings
        at_once = settings.servers if settings.base_url == EMBEDDED else settings.concurrency
        seconds += line.requests * max(model.seconds, 0.05) * _longer(line) / at_once
    return f"up to {training.duration(seconds)} of asking, going by the first request"


def _longer(line: teachers.Line) -> float:
    """How many times as long a request of `line` takes as the one with which its model was tried."""
    tokens = (line.answer + line.prompt / PROMPT_SPEED) / max(1, line.requests)
    return max(1.0, tokens / (TRIAL_ANSWER + TRIAL_PROMPT / PROMPT_SPEED))
