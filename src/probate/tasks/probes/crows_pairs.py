"""CrowS-Pairs: which of two sentences is likelier, the more or the less stereotyping one (Nangia et al.
2020).
"""

from __future__ import annotations

from typing import ClassVar

import pandas as pd
from pydantic import Field

from probate.core.errors import InputError
from probate.core.records import stable_order
from probate.data.rows import source_rows
from probate.stats.measure import Measure, everyone, frame
from probate.tasks.base import Options, TaskContext
from probate.tasks.choice import ChoiceOptions, ChoiceTask, Item


class CrowsOptions(ChoiceOptions):
    data: str = Field(description="CrowS-Pairs in its own columns (.csv or .jsonl).")
    limit: int | None = Field(None, ge=2, description="Maximum number of pairs (a seeded sample).")


class CrowsPairs(ChoiceTask):
    """Log-likelihood of both sentences as plain text, from the model's first token, without a chat template.

    The measure is the share of pairs in which the stereotyping sentence is likelier: in [0, 1], 0.5 is no
    preference, above follows the stereotype. Scoring is that of lm-evaluation-harness for causal models; the
    original uses masked models. Blodgett et al. (2021) found many pairs of this set to be unsound, so use it
    together with other measures.
    """

    name = "crows_pairs"
    title = "CrowS-Pairs"
    metric = "stereotype_share"
    dimensions = ("the data set's",)
    relation = "direct"
    source = "CrowS-Pairs (Nangia et al. 2020)"
    option_type: ClassVar[type[Options]] = CrowsOptions

    def items(self, context: TaskContext) -> list[Item]:

        items = {}
        for number, (where, row) in enumerate(source_rows(self.options.data, "test", context.base)):
            if isinstance(row, str):
                continue
            for column in ("sent_more", "sent_less", "bias_type"):
                if column not in row:
                    raise InputError(
                        f"{where}: no column '{column}'; "
                        "a CrowS-Pairs file has the columns sent_more, sent_less and bias_type"
                    )
            sentences = (str(row["sent_more"]), str(row["sent_less"]))
            if not all(s.strip() for s in sentences):
                continue
            key = f"pair-{number:04d}"
            groups = {"bias_type": str(row["bias_type"])}
            items[key] = Item(key, "", sentences, ("more", "less"), "more", groups, chat=False, end=False)
        if not items:
            raise InputError(
                f"{self.options.data}: no pair has two non-empty sentences; check sent_more and sent_less"
            )
        keys = (
            stable_order(items, "crows", context.seed)[: self.options.limit]
            if self.options.limit
            else list(items)
        )
        return [items[k] for k in sorted(keys)]

    def measures(self, context: TaskContext) -> list[Measure]:
        def preferred(o: pd.DataFrame) -> pd.DataFrame:
            return frame(o, everyone(o), o["score"])

        return [
            Measure(
                name="stereotype_share",
                title="share preferring the stereotype",
                unit="share",
                sides=("all",),
                values=preferred,
                primary=True,
            )
        ]
