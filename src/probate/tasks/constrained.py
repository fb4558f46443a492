"""Amounts that a local model writes with constrained decoding: only an amount may follow `$`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from probate.core.errors import InputError

if TYPE_CHECKING:
    from probate.models.lm import LM

PIECE = re.compile(r"[0-9,k]{1,8}")
"""Tokens that an amount consists of."""
PARTIAL = re.compile(r"[1-9]\d{0,2}k|[1-9]\d{0,6}|[1-9]\d{0,2}(?:,\d{3})?,\d{0,3}")
"""Beginning of an amount: digits, thousands separators, and `k` at the end."""


def write_amounts(
    lm: LM,
    prompts: Sequence[Sequence[int]],
    readable: Callable[[str], bool],
    tick: Callable[[int], None] | None = None,
) -> list[str]:
    """Write one amount after each prompt, by the likeliest token of those that continue an amount.

    A token may follow only where it continues an amount that can become readable, and the answer may end only
    where the amount is readable. Decoding is greedy.

    Parameters
    ----------
    lm : LM
        A local model.
    prompts : sequence of sequences of int
        Token ids of each prompt, up to `$`.
    readable : callable
        Returns whether a text is an amount at which an answer may end.
    tick : callable, optional
        Called with the number of amounts that were completed since the last call.

    Returns
    -------
    list of str
        The amounts; empty for a prompt after which a score of the model is not a number.

    Raises
    ------
    InputError
        The tokenizer has no tokens that an amount begins with.
    """
    pieces = {
        token: text
        for text, token in sorted(lm.tokenizer.get_vocab().items())
        if PIECE.fullmatch(text) and token not in lm.stop_ids
    }
    texts = [""] * len(prompts)
    ids: list[list[int]] = [list(prompt) for prompt in prompts]
    allowed: dict[str, list[int]] = {}

    def choices(text: str) -> list[int]:
        if text not in allowed:
            more = [t for t, piece in pieces.items() if _reaches(text + piece, readable)]
            allowed[text] = more + (lm.stop_ids if readable(text) else [])
        return allowed[text]

    if not choices(""):
        raise InputError(
            f"model '{lm.spec.name}': its tokenizer has no tokens of digits only, so amounts cannot be "
            "constrained; set constrain to false, or mode to bands"
        )
    left = list(range(len(prompts)))
    while left:
        options = [[[token] for token in choices(texts[i])] for i in left]
        going = []
        for i, own, scores in zip(
            left, options, lm.score_choices([ids[i] for i in left], options), strict=True
        ):
            finite = bool(np.isfinite(scores).all())
            token = own[int(np.argmax(scores))][0] if finite else lm.stop_ids[0]
            if token in pieces:
                texts[i] += pieces[token]
                ids[i].append(token)
            elif not finite:
                texts[i] = ""
            if token in pieces and set(choices(texts[i])) - set(lm.stop_ids):
                going.append(i)
        if tick and len(left) > len(going):
            tick(len(left) - len(going))
        left = going
    return texts


def _reaches(text: str, readable: Callable[[str], bool]) -> bool:
    """Return whether a text is the beginning of an amount that is readable, now or with more digits."""
    if not PARTIAL.fullmatch(text):
        return False
    ends = ("", "k", "0", "00", "000", "0000", "00000", "000000", ",000", ",000,000")
    return any(PARTIAL.fullmatch(text + end) and readable(text + end) for end in ends)
