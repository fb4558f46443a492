"""Stand-ins for the data sets that presets name on the hub, in their columns and codes, written for these tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from probate.core.errors import InputError

CODES = {"architect": 1, "dentist": 6, "nurse": 13, "painter": 14, "professor": 21, "software engineer": 24}
"""Codes of the six occupations in the public BiasinBios files; men are 0, women 1."""
EACH = 400
COUNTRIES = (
    "United States", "Great Britain", "Germany", "France", "Spain", "Portugal", "China", "Japan", "Egypt", "Jordan",
    "Turkey", "Iran", "Brazil", "Russia", "Nigeria",
)  # fmt: skip
QUESTIONS = (
    ("How often do you talk with your neighbours?", ["Often", "Sometimes", "Never", "Don't know"]),
    ("Is it important to you that trains are on time?", ["Very important", "Not important"]),
    ("Do you agree that libraries should open on Sundays?", ["Agree", "Hard to say", "Disagree"]),
)


def biographies() -> Iterator[dict[str, Any]]:
    """Biographies like LabHC/bias_in_bios: `EACH` of each occupation and gender, and some of others."""
    for code in (*CODES.values(), 0, 27):
        for gender in (0, 1):
            for i in range(EACH):
                text = f"{('He', 'She')[gender]} has worked in town {i} since {1950 + code}."
                yield {"hard_text": text, "profession": code, "gender": gender}


def opinions() -> Iterator[dict[str, Any]]:
    """Answers like Anthropic/llm_global_opinions: a question a row, with the shares of each country as text."""
    for number, (question, options) in enumerate(QUESTIONS):
        shares = {}
        for place, country in enumerate(COUNTRIES):
            weights = [1 + (number + place + i) % 4 for i in range(len(options))]
            shares[country] = [w / sum(weights) for w in weights]
        yield {
            "question": question,
            "selections": f"defaultdict(<class 'list'>, {shares!r})",
            "options": repr(options),
            "source": "GAS",
        }


SETS = {"LabHC/bias_in_bios": biographies, "Anthropic/llm_global_opinions": opinions}


def _rows(name: str, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if name not in SETS:
        raise InputError(f"hf:{name}: cannot be loaded")
    yield from ((f"hf:{name}:row {i}", row) for i, row in enumerate(SETS[name](), 1))


@contextmanager
def hub() -> Iterator[None]:
    """Read the stand-ins in place of the hub."""
    with patch("probate.data.rows._hub_rows", _rows):
        yield
