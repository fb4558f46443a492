"""The cards of a folder, written together."""

from __future__ import annotations

from pathlib import Path

from probate.cards.croissant import croissant
from probate.cards.data_card import data_card
from probate.cards.facts import Facts
from probate.files import write_atomic

CARDS = ("data-card.md", "croissant.json")


def write_cards(folder: Path, facts: Facts) -> None:
    """`data-card.md` and `croissant.json` in `folder`."""
    write_atomic(folder / CARDS[0], data_card(facts))
    write_atomic(folder / CARDS[1], croissant(facts, folder))
