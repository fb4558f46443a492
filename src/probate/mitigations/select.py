"""Select: leaves out the augmented records that are most likely to carry the bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.records import Record, with_messages
from probate.data.lean import lean
from probate.mitigations.base import Mitigation, MitigationContext, Options
from probate.stats.measure import stereotyped_for

with deferred():
    from probate.train import examples, gradients


FOLDS = 5


class SelectOptions(Options):
    by: Literal["stereotype", "two_sample", "gradient"] = Field(
        "stereotype",
        description="`stereotype`: label and wording fit the stereotype of the record's group; `two_sample`: "
        "probability that a classifier gives the record of not being original; `gradient`: dissimilarity "
        "of its gradient to those of original records of its label.",
    )
    share: float = Field(0.25, gt=0, lt=1, description="Share of the augmented records that is left out.")


class Select(Mitigation):
    """Leave out the share of augmented records with the highest scores. Of equal scores the first record is
    left out.

    `stereotype` is 1 if the label is stereotyped for the record's group, else 0, plus the lean of the wording
    (share of words that fit the group's stereotype, minus that of the other groups). `two_sample` is the
    probability of being augmented from a logistic regression on words (Lopez-Paz and Oquab 2017),
    cross-validated in five folds, so that no record is scored by a model trained on it. `gradient` is minus
    the mean cosine of the record's gradient with those of original records of the same label, under the model
    before training (`probate.train.gradients`). For all three, a higher score means more bias.
    """

    name = "select"
    title = "Select"
    source = (
        "data selection by an influence proxy; classifier two-sample score after Lopez-Paz and Oquab (2017)"
    )
    option_type: ClassVar[type[Options]] = SelectOptions

    @property
    def slow(self) -> bool:
        return bool(self.options.by == "gradient")

    @property
    def needs_weights(self) -> str:
        return "compares gradients of the model" if self.slow else super().needs_weights

    def check(self, context: MitigationContext) -> None:
        if self.options.by == "stereotype" and not any(
            p.dimension == context.dimension for p in context.packs
        ):
            raise InputError(
                f"mitigations: select by stereotype needs the identity pack of '{context.dimension}'"
            )

    def select(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> tuple[list[Record], list[tuple[Record, str]]]:
        if not records:
            return [], []
        score = {
            "stereotype": self._stereotype,
            "two_sample": self._two_sample,
            "gradient": self._gradient,
        }[self.options.by]
        scores = score(records, original, context)
        order = np.argsort(-np.asarray(scores), kind="stable")
        gone = set(order[: round(self.options.share * len(records))].tolist())
        why = f"its {self.options.by} score is among the highest {100 * self.options.share:g}%"
        return (
            [r for i, r in enumerate(records) if i not in gone],
            [(r, f"{why} ({scores[i]:.3f})") for i, r in enumerate(records) if i in gone],
        )

    def _stereotype(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> list[float]:
        pack = next(p for p in context.packs if p.dimension == context.dimension)
        if not any(r.groups.get(context.dimension) for r in records):
            raise InputError(
                f"mitigations: select by stereotype: no record has a group of '{context.dimension}'; "
                f"name its column with --group {context.dimension}=COLUMN"
            )
        scores = []
        for r in records:
            group = r.groups.get(context.dimension, "")
            fits = stereotyped_for(r.label, group, context.stereotypes or pack.stereotypes)
            scores.append(float(fits) + lean(r.text, group, pack) / 100)
        return scores

    def _two_sample(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> list[float]:
        if len(original) < FOLDS or len(records) < FOLDS:
            raise InputError(
                f"mitigations: select by two_sample needs at least {FOLDS} original and {FOLDS} augmented "
                f"records, but there are {len(original)} and {len(records)}; use `by: stereotype` instead"
            )
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline

        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            LogisticRegression(class_weight="balanced"),
        )
        texts = [r.text for r in [*original, *records]]
        target = np.array([0] * len(original) + [1] * len(records))
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        chance = cross_val_predict(model, texts, target, cv=folds, method="predict_proba")[:, 1]
        return [float(c) for c in chance[len(original) :]]

    def _gradient(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> list[float]:
        lacking = sorted({r.label for r in records} - {r.label for r in original})
        if lacking:
            raise InputError(
                "mitigations: select by gradient compares with original records of the same label; "
                f"there is none of '{lacking[0]}'"
            )

        lm = context.model("learner", "select by gradient")
        rows = with_messages([*original, *records], context.prompt, context.labels)
        vectors = gradients.record_gradients(
            lm.model, examples.encode_records(lm, rows, context.max_length)[0], lm.pad_id
        ).numpy()
        clean = {
            label: vectors[[i for i, r in enumerate(original) if r.label == label]].mean(0)
            for label in {r.label for r in records}
        }
        return [
            -float(own @ clean[r.label]) for own, r in zip(vectors[len(original) :], records, strict=True)
        ]
