"""Write the cards of a folder."""

from __future__ import annotations

from pathlib import Path

from probate.core.files import write_atomic
from probate.report.cards.croissant import croissant
from probate.report.cards.data_card import data_card
from probate.report.cards.facts import Facts

CARDS = ("data-card.md", "croissant.json")


def write_cards(folder: Path, facts: Facts) -> None:
    """Write `data-card.md` and `croissant.json`.

    Parameters
    ----------
    folder : Path
        Folder of the data set.
    facts : Facts
        Its facts.
    """
    write_atomic(folder / CARDS[0], data_card(facts))
    write_atomic(folder / CARDS[1], croissant(facts, folder))
