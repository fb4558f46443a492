"""Generator artefacts in texts: refusals, unfilled placeholders, words addressed to the user, markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from probate.data.languages import REFUSAL

KINDS = {
    "refusal": REFUSAL,
    "placeholder": re.compile(
        r"\[(?:your|name|company|date|address|phone|email|insert|city|state|link|position|university|degree|"
        r"x{2,})[^\]\n]{0,60}\]|\bX{3,}\b|\bLorem ipsum\b", re.I),
    "preamble": re.compile(
        r"^\s*(?:sure|certainly|of course|absolutely|here(?:'s| is| are)|below is|as an ai\b|claro|por "
        r"supuesto|com certeza)\b[^\n]{0,120}?[:!,.]", re.I),
    "closing": re.compile(
        r"(?:i hope this helps|let me know if|feel free to (?:ask|adjust|modify|customi[sz]e)|please note "
        r"that this is|note: this)", re.I),
    "markup": re.compile(r"^\s*(?:#{1,4} |\*\*[^*\n]+\*\*|[-*] \*\*)", re.M),
    "control token": re.compile(
        r"<\|[a-z_0-9]{2,30}\|>|<｜[^｜\n]{2,40}｜>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|"
        r"</?think>|<(?:bos|eos|pad|unk)>", re.I),
    "cut off": re.compile(r"(?:^|\n)(?:\S+[ \t]+){5,}\S*[a-z,]\s*\Z"),
}  # fmt: skip
"""Kind → pattern. `cut off`: the last line has more than five words and ends in a small letter or a comma."""
HARMLESS = {"markup"}
"""Kinds that are reported but do not affect the verdict."""


def find_artefacts(texts: Sequence[str]) -> dict[str, list[int]]:
    """Find generator artefacts.

    Parameters
    ----------
    texts : sequence of str
        Texts to search.

    Returns
    -------
    dict
        Kind of artefact (a key of `KINDS`) → indices of the texts that contain it.
    """
    return {
        kind: [i for i, text in enumerate(texts) if pattern.search(text)] for kind, pattern in KINDS.items()
    }
