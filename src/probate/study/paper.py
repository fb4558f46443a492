"""The paper's settings and results, and what Probate does: the data of docs/paper.md and of reports."""

from __future__ import annotations

from dataclasses import dataclass

from probate.core.yaml_file import own_yaml
from probate.study.schema import Study

STATUS = {
    "stated": "as the paper states it",
    "reading": "our reading: the paper leaves it open",
    "ours": "our choice",
    "open": "not done yet",
}
"""Status of a row → its meaning."""


@dataclass(frozen=True)
class PaperRow:
    """One fact of the paper (arXiv 2502.04419) or of a neighbouring work.

    Attributes
    ----------
    section : str
        Topic of the fact.
    paper : str
        The fact.
    probate : str
        What Probate does.
    status : {"stated", "reading", "ours", "open"}
        How both relate (`STATUS`).
    why : str
        The reason, or what is missing.
    cites : str
        Words by which the fact is found in a list of facts.
    """

    section: str
    paper: str
    probate: str
    status: str
    why: str
    cites: str


def paper_rows() -> list[PaperRow]:
    """Return all rows, by section.

    Returns
    -------
    list of PaperRow
        The rows.
    """
    return [
        PaperRow(part["section"], **{key: " ".join(str(value).split()) for key, value in row.items()})
        for part in own_yaml("study", "paper.yaml")
        for row in part["rows"]
    ]


def is_paper_study(study: Study) -> bool:
    """Return True if a study has the name of a preset of the paper, at any scale."""
    return study.name.startswith("paper-")
