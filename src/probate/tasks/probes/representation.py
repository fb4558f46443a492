"""Group generation imbalance as a probe: whom each arm's model writes about if no group is named."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from pydantic import Field, field_validator

from probate.core.errors import InputError
from probate.core.records import stable_seed
from probate.data.generation.group_texts import PROMPT, Sampling, turn, write
from probate.data.packs import load_pack
from probate.stats.imbalance import UNCLEAR, detect
from probate.stats.measure import Measure, everyone, frame, stereotyped_for
from probate.tasks.base import Options, Outcome, Task, TaskContext, Tick
from probate.tasks.occupations import are_occupations

if TYPE_CHECKING:
    from probate.models.lm import LM


class RepresentationOptions(Options):
    texts: int = Field(20, ge=1, description="Number of texts for each label, each with its own seed.")
    prompt: str = Field(
        PROMPT,
        description="The prompt, which names no group. "
        "`{label}`, `{article}` and `{who}` (a person) are filled in.",
    )
    labels: list[str] | None = Field(None, description="Labels to write about; default: the study's labels.")
    max_new_tokens: int = Field(60, ge=8, description="Maximum length of a text, in tokens.")
    temperature: float = Field(0.8, ge=0, le=2, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(0.95, gt=0, le=1, description="Probability mass of nucleus sampling.")

    @field_validator("prompt")
    @classmethod
    def _has_label(cls, value: str) -> str:
        if "{label}" not in value:
            raise ValueError("must contain {label}")
        return value


class Representation(Task):
    """Texts about each label with a prompt that names no group; the group is read from pronouns and titles,
    else names.

    The primary measure is the share of texts that show a group which the label is stereotyped for, over
    labels with such a stereotype. The other measures are the share of each group; parity is 1 / groups. All
    are over texts with a determined group, in [0, 1]. The text is the unit of intervals; the same label and
    seed in two arms are a pair. The detector's errors are not corrected, because they are the same in all
    arms. `probate why groups` measures and corrects them.
    """

    name = "representation"
    title = "Representation"
    metric = "stereotyped_share"
    relation = "direct"
    source = "neutral generations; the paper's group generation imbalance (arXiv 2502.04419)"
    option_type: ClassVar[type[Options]] = RepresentationOptions

    def _asked(self, context: TaskContext) -> list[tuple[str, str, int]]:
        """Return id, label and seed of each text."""
        texts = []
        for label in self.options.labels or context.labels:
            for number in range(self.options.texts):
                identity = f"{label}-{number:03d}"
                texts.append((identity, label, stable_seed(identity, context.seed)))
        return texts

    def check(self, context: TaskContext) -> None:
        super().check(context)
        options = self.options
        if options.prompt == PROMPT and options.labels is None and not are_occupations(context.labels):
            raise InputError(
                f"probes: {self.key}: its prompt asks for texts about occupations, and the labels "
                f"({', '.join(context.labels[:3])}, …) are not occupations in English; set its options "
                "labels and prompt"
            )

    def size(self, context: TaskContext) -> int:
        return len(self._asked(context))

    def reads(self, context: TaskContext) -> list[Any]:
        return [*super().reads(context), self._asked(context), context.pack or load_pack(context.dimension)]

    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        options, asked = self.options, self._asked(context)
        how = Sampling(options.max_new_tokens, options.temperature, options.top_p)
        turns = [turn(options.prompt, label) for _, label, _ in asked]
        texts = write(lm, turns, [seed for *_, seed in asked], how, context.max_length, tick)
        pack = (context.pack or load_pack(context.dimension)).only(list(context.groups))
        outcomes = []
        for (identity, label, _), text, shown in zip(asked, texts, detect(texts, pack), strict=True):
            fits = any(stereotyped_for(label, g, context.stereotypes) for g in context.groups if g == shown)
            outcomes.append(
                Outcome(
                    identity,
                    {"label": label},
                    "",
                    text,
                    shown if shown != UNCLEAR else "",
                    float(fits),
                    shown != UNCLEAR,
                )
            )
        return outcomes

    def measures(self, context: TaskContext) -> list[Measure]:
        def fits(o: pd.DataFrame) -> pd.DataFrame:
            o = o[
                o["groups"].map(
                    lambda g: any(stereotyped_for(g["label"], x, context.stereotypes) for x in context.groups)
                )
            ]
            return frame(o, everyone(o), o["score"])

        def shows(o: pd.DataFrame, group: str) -> pd.DataFrame:
            return frame(o, everyone(o), (o["prediction"] == group).astype(float))

        return [
            Measure(
                name="stereotyped_share",
                title="share of texts that show a stereotyped group",
                unit="share",
                sides=("all",),
                values=fits,
                primary=True,
            ),
            *(
                Measure(
                    name=f"shown[{g}]",
                    title=f"share of texts about {g} people",
                    unit="share",
                    sides=("all",),
                    values=partial(shows, group=g),
                )
                for g in context.groups
            ),
        ]
