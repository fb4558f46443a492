"""Exchange of female and male in English texts, by rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from probate.data.names import WORD_NAMES, evidence, folded
from probate.data.packs import Pack
from probate.mitigations.wording.english import alone, cased, objective
from probate.mitigations.wording.pattern import either
from probate.mitigations.wording.places import SAINT, of_a_place
from probate.mitigations.wording.words import gendered_words

GROUPS = ("female", "male")
PRONOUNS = {"she": "he", "he": "she", "herself": "himself", "himself": "herself", "hers": "his", "him": "her"}
TITLES = {"mrs", "mr", "ms", "miss"}
ROYAL = {"queen", "king", "princess", "prince", "lady", "gentleman"}
"""Words that, capitalised like a neighbour, can be a family name or a title without a counterpart."""
FAMILY = re.compile(r"(?:\b(?:Mrs?|Ms|Miss|Dr|Prof|Professor)\.?|\b[A-Z]\.)[ ]+$")
GIVEN = re.compile(r"[ ]+(?:[A-Z]\.[ ]+)?[A-Z]")
Span = tuple[int, int, str, str]
"""Start, end, text, and its counterpart."""


def swap(text: str, pack: Pack) -> str:
    """Exchange female and male in a text.

    Parameters
    ----------
    text : str
        An English text.
    pack : Pack
        Identity pack with the groups female and male.

    Returns
    -------
    str
        The text with names, pronouns, titles and kinship words of the other group.
    """
    parts, done = [], 0
    for start, end, _, new in _spans(text, pack):
        parts += [text[done:start], new]
        done = end
    return "".join([*parts, text[done:]])


def groups_shown(text: str, pack: Pack) -> set[str]:
    """Return the groups, female or male or both, that the pronouns and first names of a text show."""
    women, men = _names(pack)
    groups = {
        w: g
        for g, names in zip(GROUPS, (women, men), strict=True)
        for w in (*names, *pack.groups[g].pronouns)
    }
    shown = {groups.get(old.lower()) or groups.get(old.title()) for _, _, old, _ in _spans(text, pack)}
    return {g for g in GROUPS if g in shown}


def without_counterpart(text: str, pack: Pack) -> str:
    """Return a hyphenated first name with a counterpart for only a part («Jean-Paul»), or an empty string."""
    table = _swapper(*_names(pack))[1]
    for match in re.finditer(r"(?<![\w-])(?<![a-z][ ])[A-Z]\w+(?:-[A-Z]\w+)+", folded(text)[0]):
        known = [part in table for part in match.group().split("-")]
        if (
            any(known)
            and not all(known)
            and not re.search(r"[A-Z]\w+[ ]+$", folded(text)[0][: match.start()][-40:])
        ):
            return match.group()
    return ""


def _spans(text: str, pack: Pack) -> Iterator[Span]:
    plain, places = folded(text)
    for start, end, old, new in _exchanges(plain, pack):
        yield (start, end, old, new) if places is None else (places[start], places[end], old, new)


def _exchanges(text: str, pack: Pack) -> Iterator[Span]:
    """Yield the exchanges in a text without accents. Hyphenated names are exchanged as a whole or kept."""
    pattern, table = _swapper(*_names(pack))
    last = -1
    for match in pattern.finditer(text):
        word, kind = match.group(), match.lastgroup
        if kind == "stays":
            continue
        front, after = text[max(0, match.start() - 60) : match.start()], text[match.end() : match.end() + 60]
        if word[0].isupper() and (of_a_place(word, after) or SAINT.search(front[-12:])):
            continue
        if kind == "name":
            names = word.split("-")
            known = [table.get(n) or table.get(n.title(), "").upper() for n in names]
            family = (last >= 0 and re.fullmatch(r"[ ]+(?:[A-Z]\.[ ]+)?", text[last : match.start()])) or (
                FAMILY.search(front) and not GIVEN.match(after)
            )
            last = match.end()
            beside = re.match(r"[ ]+[A-Z]{2}", after) or re.search(r"[A-Z]{2}[ ]+$", front)
            short = word.isupper() and len(word) < 4 and not beside
            if family or short or not all(known):
                continue
            person = all(
                _is_name(n, k, text, match.start(), match.end()) for n, k in zip(names, known, strict=True)
            )
            if person:
                yield (*match.span(), word, "-".join(known))
            continue
        low = word.lower()
        if low in ROYAL and word[0].isupper():
            titled = re.match(r"[ ]+[A-Z]", after) is not None
            if re.search(r"[A-Z]\w*[ ]+$", front) or (titled and low in ("lady", "gentleman")):
                continue
        if low == "her":
            new = "him" if objective(front[-40:], after) else "his"
        elif low == "his":
            new = "hers" if alone(after) else "her"
        else:
            new = PRONOUNS.get(low) or table[low]
        yield (*match.span(), word, cased(new, word))


def _is_name(word: str, other: str, text: str, start: int, end: int) -> bool:
    """Check whether a word is a person's name, by evidence for both names, so that swapping is reversible."""
    pair = tuple(sorted({word.title(), other.title()} & WORD_NAMES))
    if not pair:
        return True
    is_person = _verdict(pair, text, start, end)
    return _elsewhere(pair, word.title(), other.title(), text) if is_person is None else is_person


def _verdict(pair: tuple[str, ...], text: str, start: int, end: int) -> bool | None:
    loud = text[start:end].isupper()
    verdicts = {evidence(k.upper() if loud else k, text, start, end) for k in pair}
    return False if False in verdicts else None if None in verdicts else True


@lru_cache(maxsize=64)
def _elsewhere(pair: tuple[str, ...], word: str, other: str, text: str) -> bool:
    matches = re.finditer(
        rf"(?<!\w)(?:{'|'.join(v for n in (word, other) for v in (n, n.upper()))})(?!\w)", text
    )
    return any(_verdict(pair, text, *m.span()) for m in matches)


def _names(pack: Pack) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first names of women and of men, paired by position: those of the pack, then common ones."""
    own = [[folded(n)[0] for n in pack.groups[g].names] for g in GROUPS]
    count = min(map(len, own))
    taken = {n for p in own for n in p} | {n for g in pack.groups.values() for n in g.names}
    more = [pair for pair in gendered_words("en")["counterparts"] if not taken & set(pair)]
    return (*own[0][:count], *(w for w, _ in more)), (*own[1][:count], *(m for _, m in more))


@cache
def _swapper(women: tuple[str, ...], men: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    data = gendered_words("en")
    table: dict[str, str] = {}
    for female, male in data["pairs"]:
        table[female] = male
        table.setdefault(male, female)
    words = either([*(w for w in table if w not in TITLES), *PRONOUNS, "her", "his"], any_case=True)
    for female, male in zip(women, men, strict=True):
        table[female], table[male] = male, female
    people = either([v for n in (*women, *men) for v in (n, n.upper())])
    titles = either(t.capitalize() for t in TITLES)
    stays = rf"[\w.+-]+@[\w.-]+\w|(?:https?://|www\.)[^\s<>\"]+|(?:{_fixed(data, words, table)})(?!\w)"
    return re.compile(
        rf"(?<!\w)(?:(?P<stays>{stays})|(?P<name>{people}(?:-[A-Z]\w*)*|(?:[A-Z][a-z]+-)"
        rf"+{people}(?:-[A-Z]\w*)*)(?!\w)"
        rf"|(?P<title>(?:{titles})(?=\.?[ ]+[A-Z]))|(?P<word>{words})(?!\w))"
    ), table


def _fixed(data: dict[str, list[str]], words: str, table: dict[str, str]) -> str:
    """Return a regular expression of set expressions that are not exchanged, and of their counterparts."""
    pairs = {**PRONOUNS, "her": "his", "his": "her", **table}
    other = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
    swapped = {
        other.sub(lambda m: cased(pairs[m.group().lower()], m.group()), whole) for whole in data["fixed"]
    }
    return either(swapped | set(data["fixed"]))
