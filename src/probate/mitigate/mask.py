"""Mask: names, pronouns, gendered and cultural words become neutral ones or [MASK]."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import Field

from probate.mitigate.base import Mitigation, MitigationContext, Options, marked
from probate.mitigate.english import ADVERBS, CONTRACTIONS, alone, cased, plural
from probate.mitigate.words import gendered_words
from probate.records import Record

MASK = "[MASK]"
Change = tuple[int, str, str]
"""Offset in the masked text, what stood there, what stands there now."""

SUBJECTS = {"she", "he"}
PRONOUNS = {"her": ("them", "their"), "his": ("theirs", "their"), "him": ("them", "them")}
CLAUSE = re.compile(r"[.!?;:,]|\b(?:but|who|which|that|while|because|when|as)\b")
"""After one of these the subject may be another."""
TITLES = {"mrs", "ms", "miss", "mr", "sir", "mx"}
FAMILY = r"(?:[ ]+[A-Z]\.?(?=[ ]))?(?:[ ]+(?:(?:de|da|do|dos|van|von|al-|el-)[ ]*)?[A-ZÀ-Ý][\w'’-]*(?!['’]s\b))?"
"""What may follow a first name: an initial, a particle, a family name."""
OTHERS = {"hers": "theirs", "herself": "themselves", "himself": "themselves"}


class MaskOptions(Options):
    mode: Literal["neutral", "mask"] = Field(
        "neutral", description="`neutral` words (they, the person, a sibling), or `mask`: [MASK] for each."
    )
    names: list[str] = Field(default_factory=list, description="Further names to mask, besides those of the identity packs.")
    words: list[str] = Field(default_factory=list, description="Further words to mask.")


class Mask(Mitigation):
    """Names, pronouns, gendered and cultural words of augmented records, in English, Spanish, Portuguese, Arabic and Chinese.

    English keeps its grammar as far as a rule can («she paints» → «they paint»; «her» by what follows it). In Spanish,
    Portuguese and Arabic articles, adjectives and verbs still show a gender: use `mode: mask` and read the classifier that
    docs/mitigations.md tells of. Words of the labels are never touched. Each replacement is recorded, so that it can be undone.
    """

    name = "mask"
    title = "Mask"
    source = "arXiv 2502.04419 (mask-based mitigation)"
    idempotent = True
    option_type: ClassVar[type[Options]] = MaskOptions

    def check(self, context: MitigationContext) -> None:
        _masker(self, context)

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        text, changes = self.masked(record.text, context)
        return [marked(replace(record, text=text), self.name, changes=changes) if changes else record]

    def masked(self, text: str, context: MitigationContext) -> tuple[str, list[Change]]:
        """The masked text, and what was replaced."""
        return _masker(self, context)(text)


def undo(text: str, changes: Iterable[Change]) -> str:
    """The text as it was before the changes."""
    for offset, before, after in reversed(list(changes)):
        text = text[:offset] + before + text[offset + len(after) :]
    return text


def _masker(mask: Mask, context: MitigationContext) -> Callable[[str], tuple[str, list[Change]]]:
    o = mask.options
    packs = tuple(p.speaking(context.language).model_dump_json() for p in context.packs)
    return _built(context.language, o.mode, tuple(o.names), tuple(o.words), tuple(context.labels), packs)


@lru_cache(maxsize=16)
def _built(
    language: str, mode: str, names: tuple[str, ...], words: tuple[str, ...], labels: tuple[str, ...], packs: tuple[str, ...]
) -> Callable[[str], tuple[str, list[Change]]]:
    """The masking function of a setting: one regular expression over all that may be replaced."""
    from probate.bias.packs import Pack

    table = gendered_words(language)
    kept = {w for label in labels for w in [label.lower(), *label.lower().split()]}
    known = [Pack.model_validate_json(p) for p in packs]
    people = {n for p in known for g in p.groups.values() for n in g.names} | set(names)
    neutral = {w: n for w, n in table["neutral"].items() if w not in kept}
    listed = {w for p in known for g in p.groups.values() for w in (*g.pronouns, *g.titles)} | {w.lower() for w in words}
    plain = {w for w in listed if w not in kept and w not in neutral and "non" not in w}
    english = language == "en"
    grammar = (SUBJECTS | set(PRONOUNS) | set(OTHERS)) - kept if english and plain & SUBJECTS else set()
    plain -= {"they", "them", "their", "theirs", "themself", "themselves"} | grammar
    pattern = _pattern(people, [*neutral, *plain, *grammar], language)

    def replacement(found: re.Match[str], text: str, subject: int) -> tuple[int, str]:
        """How many characters after the match go too, and what stands there instead. `subject`: where the last one became «they»."""
        kind = found.lastgroup
        if kind == "tail":  # «She paints and now teaches»: the verb goes on from the same subject
            going_on = subject >= 0 and not CLAUSE.search(text[subject : found.start()])
            head, _, verb = found.group().rpartition(" ")
            return 0, f"{head} {plural(verb)}" if going_on and mode == "neutral" else found.group()
        word = found.group("word") or ""
        if kind == "name":
            start = found.start() == 0 or text[: found.start()].rstrip().endswith((".", "!", "?", "¡", "¿", "\n", ":"))
            name = table["name"]
            return 0, MASK if mode == "mask" else name[:1].upper() + name[1:] if start else name
        low = word.lower()
        if mode == "mask":
            return 0, MASK
        if low in SUBJECTS and low in grammar:
            return _subject(word, text[found.end() :])
        if low in grammar:
            free, bound = PRONOUNS.get(low, ("", ""))
            new = OTHERS.get(low) or (free if alone(text[found.end() :]) else bound)
            return 0, cased(new, word)
        new = neutral.get(low, MASK)
        if not new:  # a title: what follows it is a name
            gap = re.match(r"\.?\s+", text[found.end() :])
            return (gap.end(), "") if gap else (0, MASK)
        return 0, cased(new, word)

    def run(text: str) -> tuple[str, list[Change]]:
        parts: list[str] = []
        changes: list[Change] = []
        done = length = 0
        subject = -1
        for found in pattern.finditer(text):
            if found.start() < done:
                continue
            extra, new = replacement(found, text, subject)
            end = found.end() + extra
            before = text[found.start() : end]
            if found.group().lower() in SUBJECTS:
                subject = found.start()
            if before == new:
                continue
            parts += [text[done : found.start()], new]
            length += found.start() - done
            changes.append((length, before, new))
            length += len(new)
            done = end
        return ("".join([*parts, text[done:]]), changes) if changes else (text, [])

    return run


def _pattern(people: set[str], words: list[str], language: str) -> re.Pattern[str]:
    """Names as they are spelled (in alphabets with the family name after them), words in any case."""

    def either(found: Iterable[str]) -> str:
        return "|".join(re.escape(w) for w in sorted(found, key=lambda w: (-len(w), w))) or r"(?!)"

    if language == "zh":
        return re.compile(rf"(?P<name>{either(people)})|(?P<word>{either(words)})")
    article = r"(?:ال|وال|بال|لل)?" if language == "ar" else ""
    titled = {w.capitalize() for w in words if w in TITLES}  # «MS» is a degree, «miss» a verb
    plain = either(w for w in words if w not in TITLES)
    adverb = rf"(?:(?:{'|'.join(sorted(ADVERBS))})\s+)"
    tail = rf"|(?P<tail>(?:and|but|or)\s+(?:{adverb}*(?:is|was|has|does)|{adverb}+[a-z]+s)(?!\w))" if language == "en" else ""
    return re.compile(
        rf"(?<!\w)(?:(?<!St\. )(?P<name>(?:{either(people)})(?!\w){'' if language == 'ar' else FAMILY})"
        rf"|(?P<word>{either(titled)}|{article}(?i:{plain}))(?!\w){tail})"
    )


def _subject(word: str, after: str) -> tuple[int, str]:
    """«they» for a subject, with its verb: taken along where it follows at once, perhaps after an adverb."""
    they = cased("they", word)
    short = re.match(r"['’](s|d|ll)\b", after)
    if short:
        end = "ve" if short.group(1) == "s" and re.match(r"['’]s\s+(been|had|got)\b", after) else CONTRACTIONS[short.group(1)]
        return short.end(), f"{they}{short.group(0)[0]}{end}"
    found = re.match(rf"((?:\s+(?:{'|'.join(sorted(ADVERBS))}))*\s+)([^\W\d_]+(?:['’]t)?)", after)
    if not found or plural(found.group(2)) == found.group(2):
        return 0, they
    return found.end(), f"{they}{found.group(1)}{plural(found.group(2))}"
