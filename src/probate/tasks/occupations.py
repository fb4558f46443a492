"""Whether the labels of a study are occupations, for tasks that are about work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from probate.core.yaml_file import own_yaml

LAST_WORD = re.compile(r"[^\W\d_]+(?=[\W\d_]*$)")
"""The last word of a label, also of one like `software_engineer`. What is in parentheses does not count."""


@cache
def _known() -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the words of occupations, and the jobs for studies without them."""
    own = own_yaml("tasks", "occupations.yaml")
    return frozenset(str(own["words"]).split()), tuple(own["jobs"])


def is_occupation(label: str) -> bool:
    """Return True if the last word of a label is an English word for an occupation, also in the plural."""
    last = LAST_WORD.search(label.casefold().partition("(")[0])
    return last is not None and bool({last[0], last[0].removesuffix("s")} & _known()[0])


def are_occupations(labels: Sequence[str]) -> bool:
    """Return True if most of the labels are English words for occupations.

    Parameters
    ----------
    labels : sequence of str
        The labels of a study.

    Returns
    -------
    bool
        True if more than half of the labels are recognised. Labels in other languages are not.
    """
    return sum(map(is_occupation, labels)) > len(labels) / 2


def jobs_for(labels: Sequence[str]) -> list[str]:
    """Return the jobs for a task about work.

    Parameters
    ----------
    labels : sequence of str
        The labels of a study.

    Returns
    -------
    list of str
        The labels if they are occupations, else the six occupations of the paper's gender study (arXiv
        2502.04419).
    """
    return list(labels) if are_occupations(labels) else list(_known()[1])
