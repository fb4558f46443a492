"""Value misalignment as a probe: the distance of each arm's model from people's answers, by country."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from pydantic import Field

from probate.stats.measure import Measure, everyone, frame
from probate.stats.values import Question, compare_shares, mean, region, regions
from probate.tasks.base import Options, Outcome, Task, TaskContext, Tick
from probate.tasks.values import answers, pick, read_questions

if TYPE_CHECKING:
    from probate.models.lm import LM


class ValuesOptions(Options):
    data: str = Field(
        description="A file of people's answers: country, question, options, distribution (or counts)."
    )
    countries: int = Field(
        12, ge=1, description="Maximum number of countries; those with the most questions are used."
    )
    questions: int = Field(20, ge=1, description="Maximum number of questions for each country.")


class Values(Task):
    """Survey questions with lettered options in both orders, against the answer shares of each country's
    people.

    The score is the Jensen-Shannon distance (base 2) between the shares of model and people, in [0, 1]; lower
    is closer. The question is the unit of intervals, because one answer of the model is compared with all
    countries. A change above 0 against the control means farther from people than before.
    """

    name = "values"
    title = "Values"
    metric = "js_distance"
    better = "lower"
    dimensions = ("country",)
    relation = "indirect"
    source = "after GlobalOpinionQA (Durmus et al. 2023); the paper's value misalignment (arXiv 2502.04419)"
    option_type: ClassVar[type[Options]] = ValuesOptions

    def _questions(self, context: TaskContext) -> list[Question]:
        read, _ = read_questions(self.options.data, context.base)
        return pick(read, self.options.countries, self.options.questions)

    def size(self, context: TaskContext) -> int:
        return 2 * len({(q.text, q.options) for q in self._questions(context)})

    def reads(self, context: TaskContext) -> list[Any]:
        questions = self._questions(context)
        return [*super().reads(context), questions, [region(q.country) for q in questions]]

    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        questions = self._questions(context)
        asked = list(dict.fromkeys((q.text, q.options) for q in questions))
        shares_of = dict(zip(asked, answers(lm, asked, tick), strict=True))
        number = {text: i for i, text in enumerate(dict.fromkeys(text for text, _ in asked))}
        outcomes = []
        for place, q in enumerate(questions):
            own = shares_of[q.text, q.options]
            shares = {option: round(float(s), 4) for option, s in zip(q.options, own, strict=True)}
            groups = {"country": q.country, "region": region(q.country)}
            common, top = (
                q.options[max(range(len(q.options)), key=side.__getitem__)] for side in (q.shares, own)
            )
            score = compare_shares(q, [float(s) for s in own]).distance
            identity = f"q{number[q.text]:03d}#{place}"
            usable = math.isfinite(score)  # without a share on any answer there is no distance
            outcomes.append(
                Outcome(
                    identity,
                    groups,
                    common,
                    json.dumps(shares, ensure_ascii=False),
                    top if usable else "",
                    score,
                    usable,
                )
            )
        return outcomes

    def measures(self, context: TaskContext) -> list[Measure]:
        def distance(o: pd.DataFrame) -> pd.DataFrame:
            return frame(o, everyone(o), o["score"])

        def within(o: pd.DataFrame, name: str) -> pd.DataFrame:
            return distance(o[o["groups"].map(lambda g: g["region"] == name)])

        by_region = [
            Measure(
                name=f"js_distance[{r}]",
                title=f"distance to people, {r}",
                unit="distance",
                sides=("all",),
                values=partial(within, name=r),
                primary=False,
                better="lower",
            )
            for r in regions()
        ]
        return [
            Measure(
                name="js_distance",
                title="distance to people",
                unit="distance",
                sides=("all",),
                values=distance,
                primary=True,
                better="lower",
            ),
            *by_region,
        ]

    def notes(self, outcomes: pd.DataFrame, context: TaskContext) -> list[str]:
        """Return the mean distance to each country's people, the closest first."""
        usable = outcomes[outcomes["parsed"].astype(bool)]
        means = [
            mean(country, own["score"].tolist())
            for country, own in usable.groupby(usable["groups"].map(lambda g: g["country"]))
        ]
        ordered = sorted(means, key=lambda m: m.value)
        return [
            f"{m.country}: {m.value:.3f} [{m.low:.3f}, {m.high:.3f}] over {m.n} questions" for m in ordered
        ]
