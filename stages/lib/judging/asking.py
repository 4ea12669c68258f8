"""How a judge is asked about an instance, and what its answer rules."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from stages.lib import params, teacher
from stages.lib.judging.panel import Ruling, rule
from stages.lib.judging.questions import NO, YES, doubt_messages, judge_messages, judge_schema
from stages.lib.judging.rules import RIGHT, load_rules
from stages.lib.records import Row
from stages.lib.tasks import certainty


class Asking(params.Section):
    """The keys of the section `judge` that decide what a judge is asked, and what passes."""

    answers: Literal["reasons", "probability"]
    threshold: dict[str, Annotated[float, Field(ge=0, le=1)]]
    examples: int = Field(ge=0)

    @field_validator("threshold")
    @classmethod
    def _has_default(cls, value: dict[str, float]) -> dict[str, float]:
        if "default" not in value:
            raise ValueError("needs a key `default`, for tasks that it does not name")
        return value

    def ask(self, row: Row) -> teacher.Ask | teacher.Choice:
        """The question about `row`: rule by rule, or for a yes or no."""
        rules = load_rules(row["task"])
        if self.answers == "probability":
            return teacher.Choice(row["id"], doubt_messages(rules, row, self.examples), (YES, NO))
        return teacher.Ask(row["id"], judge_messages(rules, row, self.examples), judge_schema(rules))

    def certainty(self, said: dict[str, Any]) -> float:
        """How certain the judge is that the instance is right; 0 where it gives reasons instead."""
        return float(said[YES]) if self.answers == "probability" else 0.0

    def read(self, said: dict[str, Any], task: str) -> list[Ruling]:
        """The rulings in an answer about an instance of `task`."""
        if self.answers == "probability":
            threshold = self.threshold.get(task, self.threshold["default"])
            return [rule(RIGHT, "judge", said[YES] >= threshold, certainty.reason(said[YES], threshold))]
        return [rule(name, "judge", one["verdict"] == "pass", one["reason"]) for name, one in said.items()]
