"""`probate compare`: read two sets of results, compare them, and describe the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from probate.core.errors import InputError
from probate.report import notebook
from probate.report.comparison.pair import (
    NotCompared,
    ResultComparison,
    compare_results,
    comparison_sentences,
    not_compared_sentences,
)
from probate.report.comparison.read import read_results
from probate.study.schema import Analysis

SHOWN = 10
"""Largest number of items with a changed score that the sentences list."""


@dataclass(frozen=True)
class Comparison:
    """Two sets of results, compared item by item.

    Attributes
    ----------
    sentences : list of str
        The output of `probate compare`.
    effects : pandas.DataFrame
        One row for each comparison, B minus A, in the unit of the score: over all items (`what` is `all`),
        and the change of each gap between groups. Columns: mean of A and B, change, interval (`low`, `high`),
        p, adjusted p (`p_holm`, `p_bh`), n, and the smallest change that this n detects with 80% power
        (`visible`).
    flipped : pandas.DataFrame
        The items with a changed score.
    left_out : pandas.DataFrame
        Items that are not compared, with the reason and their number.

    Examples
    --------
    >>> import probate as pb
    >>> before = [{"item": i, "score": i % 2} for i in range(40)]
    >>> after = [{"item": i, "score": 1} for i in range(40)]
    >>> comparison = pb.compare(before, after)
    >>> comparison.effects[["what", "n", "change"]].to_dict("records")
    [{'what': 'all', 'n': 40, 'change': 0.5}]
    >>> len(comparison.flipped)
    20
    """

    a: str
    b: str
    compared: list[ResultComparison]
    missing: list[NotCompared]
    flipped: pd.DataFrame
    kinds: tuple[str, str]

    @property
    def sentences(self) -> list[str]:
        return self.describe(SHOWN)

    @property
    def effects(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(c) for c in self.compared])

    @property
    def left_out(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(m) for m in self.missing])

    @property
    def record(self) -> dict[str, Any]:
        """dict: The output of `probate compare --json`."""
        return {
            "a": self.a,
            "b": self.b,
            "compared": [asdict(c) for c in self.compared],
            "left_out": [asdict(m) for m in self.missing],
            "flipped": self.flipped.to_dict("records"),
        }

    def describe(self, show: int) -> list[str]:
        """Return the sentences, with at most `show` items with a changed score."""
        return [
            f"A: {self.kinds[0]}, {self.a}; B: {self.kinds[1]}, {self.b}",
            *not_compared_sentences(self.missing),
            *comparison_sentences(self.compared, self.flipped, show),
        ]

    def __repr__(self) -> str:
        return "\n".join(["<Comparison>", *self.sentences])

    def _repr_html_(self) -> str:
        columns = ["set", "what", "n", "mean_a", "mean_b", "change", "low", "high", "p_holm", "visible"]
        return notebook.block("Comparison, B minus A", self.sentences[:1], self.effects[columns])


def compare_sources(
    first: str,
    second: str,
    pairs: Sequence[tuple[str, str]] = (),
    groups: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    cluster: str = "",
) -> Comparison:
    """Compare the results in two files or folders.

    Parameters
    ----------
    first, second : str
        Files or folders of A and B.
    pairs : sequence of (str, str), optional
        Sets of A and B to compare. By default, sets of the same name.
    groups : mapping of str to str, optional
        Dimension → column of both tables that holds its groups.
    confidence : float, default=0.95
        Level of the intervals, 0 to 1.
    cluster : str, optional
        Column of both tables that links items which were drawn together.

    Returns
    -------
    Comparison
        The comparison, B minus A.

    Raises
    ------
    InputError
        The results cannot be read or compared.
    """
    (a, kind_a), (b, kind_b) = (read_results(source, groups, cluster) for source in (first, second))
    compared, flips, missing = compare_results(a, b, Analysis(confidence=confidence), list(pairs))
    return Comparison(first, second, compared, missing, flips, (kind_a, kind_b))


def run_compare(
    first: str,
    second: str,
    pairs: list[str],
    groups: list[str],
    show: int,
    confidence: float,
    cluster: str = "",
) -> tuple[list[str], dict[str, Any]]:
    """Compare two sets of results by the options of the command.

    Parameters
    ----------
    first, second : str
        Files or folders of A and B.
    pairs, groups : list of str
        Options `--pair` (`A=B`) and `--group` (`NAME=COLUMN`).
    show : int
        Largest number of items with a changed score to list.
    confidence : float
        Level of the intervals, 0 to 1.
    cluster : str, optional
        Column of both tables that links items which were drawn together.

    Returns
    -------
    sentences : list of str
        The comparison in words.
    record : dict
        The comparison as `Comparison.record`.

    Raises
    ------
    InputError
        An option has another form, or the results cannot be read or compared.
    """
    wanted = [_split("--pair", text, "A=B, as in --pair 'task: acc=task: acc_norm'") for text in pairs]
    columns = dict(_split("--group", text, "NAME=COLUMN, as in --group gender=sex") for text in groups)
    comparison = compare_sources(first, second, wanted, columns, confidence, cluster)
    return comparison.describe(show), comparison.record


def _split(option: str, text: str, shape: str) -> tuple[str, str]:
    """Return both sides of an option of the form A=B."""
    a, equals, b = (part.strip() for part in text.partition("="))
    if not (equals and a and b):
        raise InputError(f"{option} {text}: must be {shape}")
    return a, b
