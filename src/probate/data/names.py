"""First names that are also everyday words, and rules that tell a name from a word by its context."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

WORD_NAMES = frozenset(
    "Adam Amber April August Autumn Art Bill Brandy Brook Brooks Bud Carol Chance Chase Christian Chuck "
    "Cliff Crystal Daisy Dale Dawn Dean Destiny Don Drew Earl Faith Frank Gene Grace Grant Guy Harmony "
    "Hazel Heather Heath Holly Hope Hunter Iris Ivy Jack Jade Jasmine Jewel Joy June King Lance Lily Mark "
    "Mason May Melody Max Miles Misty Olive Pat Patience Pearl Penny Pierce Price Ray Reed Rich Rob Roman "
    "Rose Ruby Rusty Sage Sandy Skip Sky Sterling Summer Sunny Trinity Violet Virginia "
    "Wade Ward Will Willow Victoria Jordan China Israel Paris Florence Austin Dallas Madison Georgia".split()
)
"""Names that count as a name only with evidence in the context. Any other listed name always counts."""
COMMON = WORD_NAMES - frozenset(
    "China Israel Paris Florence Austin Dallas Georgia Virginia King Price Chance Brandy Bud".split()
)
"""The `WORD_NAMES` that are masked and swapped in addition to the names of the lists."""
THINGS = {
    "Hope", "Faith", "Joy", "Grace", "Patience", "Harmony", "Destiny", "Jordan", "China", "Israel",
    "Virginia", "Georgia", "Art", "Bill",
    "Grant", "Dawn",
}  # fmt: skip
"""Things: «is» or «was» after one of these words is no evidence for a person."""
MONTHS = {"April", "May", "June", "August"}
TITLE = re.compile(
    r"\b(?:Mrs?|Ms|Mx|Miss|Dr|Prof|Professor|Sir|Lady|Lord|Aunt|Uncle|Sister|Brother|Saint|St|Nurse)\.?[ ]+$"
)
DETERMINER = re.compile(
    r"\b(?:an?|the|this|that|these|those|one|two|many|some|any|no|every|each|most|my|our|your|his|her|their|"
    r"its|former|late|early|good|"
    r"devout|young|old|red|white)[ ]+$",
    re.I,
)
MONTH = re.compile(
    r"\b(?:in|of|by|since|until|till|during|last|next|early|late|mid|from|every|through|to|between|"
    r"\d{1,2}(?:st|nd|rd|th)?)[ -]+$",
    re.I,
)
BEGIN = re.compile(r"(?:^|[.!?:;\n•|«“\"(>*#-])[\s«“\"(>*#_-]*$")
SUBJECT = re.compile(
    r"[ ]+(?:I|you|she|he|it|we|they|the|this|that|there|my|your|our|his|her|their|all|on|out|an?|"
    r"[A-Z][a-z]+)\b"
)
FAMILY = re.compile(r"[ ]+(?:[A-Z]\.[ ]+)?(?:(?:de|da|van|von|al-)[ ]*)?[A-ZÀ-Ý][\w’'-]+")
SAYING = re.compile(
    r"(?:,?[ ]+(?:who|whose)\b|[ ]+(?:(?:also|now|often|never|always|then|just|still)[ ]+)?(?:says?|said|"
    r"works|writes|wrote|lives|came|"
    r"goes|went|left|met|knows|knew|thinks|thought|taught|teaches|told|tells|saw|sees|sang|spoke|speaks|"
    r"likes|loves|wants|paints|studies|felt|"
    r"asks|asked|paid|bought|drove|ate|slept|laughs|laughed|smiles|smiled|replied|answered|applied|retired|"
    r"joined|married|cooks|hired|"
    r"moved[ ]to[ ][A-Z]\w*)\b|[ ]+(?:is|was|became)[ ]+(?:an?|our|my)[ ]+(?:[a-z-]+[ ]+)?"
    r"(?!(?:matter|answer|number|letter|order|power|river|factor|tower|danger|killer|border|paper|computer|"
    r"motor)\b)"
    r"(?:[a-z]{2,}(?:er|or|ist|eer|ician)|nurse|cook|chef|clerk|judge|student|architect|accountant|surgeon|"
    r"friend)\b)"
)
"""What follows a person's name, but not a thing."""
VERB = re.compile(
    r"(?:,?[ ]+(?:who|whose)\b|[ ]+(?:(?:also|now|often|never|always|then|just|still)[ ]+)?(?:is|was|has|"
    r"had|will|would|can|could|does|did|"
    r"says?|said|works|writes|wrote|lives|came|comes|went|goes|left|leaves|met|knows|knew|thinks|thought|"
    r"taught|teaches|became|began|"
    r"got|gets|gave|gives|made|makes|took|takes|told|tells|saw|sees|ran|runs|sang|spoke|speaks|likes|loves|"
    r"wants|paints|studies|"
    r"spent|felt|found|grew|holds|held|won|kept|paid|sold|bought|brought|built|led|drove|rode|sat|stood|"
    r"slept|threw|caught|broke|chose|drew|"
    r"fell|flew|forgot|lost|sent|shook|shot|swam|wore|drank|ate|cut|set|put|hit|[a-z]{2,}ed)\b)"
)
AFTER_PERSON = re.compile(
    r"\b(?:met|with|by|and|to|for|from|called|named|told|asked|saw|thanked|married|joined|I'm|am|is|hired|"
    r"knows|that|whether|but|when|if|so)[ ]+$"
)
MODALS = {"Will", "May", "Mark", "Grant", "Chase", "Skip", "Bill", "Drew"}
"""Words that can be an imperative or begin a question at the start of a sentence."""
LOUD_TITLE = re.compile(r"\b(?:MRS?|MS|MX|MISS|DR|PROF)\b\.?[ ]+$")
HEADING = re.compile(r"(?:^|\n|[.!?][ ]+)[\s*#_>-]*$")
LOUD_ROLE = re.compile(
    r"[ ]+[A-Z'’-]{3,}(?:,|[ ]+[-–—|])[ ]+(?:[A-Z]+[ ]+)*[A-Z]*(?:ER|OR|IST|IAN|NURSE|COOK|CHEF|CLERK|JUDGE|"
    r"MD|PHD|ACCOUNTANT|ASSISTANT|STUDENT|"
    r"ARCHITECT|SURGEON|POET|PILOT|AGENT|ANALYST)\b"
)
"""«GRACE MILLER, SENIOR NURSE»"""
ENDED = re.compile(
    r"[ ]*(?:[.,;:!?)\]”\"»\n]|$|(?:and|or|but|who|to|in|at|for|on|with|as|when|because|from|about|after|"
    r"before|since|until|"
    r"again|today|yesterday|why|how|what|if|by)\b)"
)


PLACES = set(
    "China Israel Jordan Paris Florence Austin Dallas Madison Georgia Virginia Victoria Brandy Sky".split()
)
OF_THINGS = {"Christian", "Adam", "Roman", "Rich", "King", "Sage", "Art"}
"""Words that often modify a noun."""
GREETED = re.compile(
    r"\b(?:(?i:hi|hello|hey|dear|thanks|thank[ ]you|goodbye|bye|named|called|name[ ]is)|I['’]m),?[ ]+$"
)
CALLED = re.compile(
    r"[ ]+from[ ]+[A-Z]|,[ ]+(?:(?:can|could|would|will|do|did|are|have|please|you|I|we|thank)\b)"
)
AUXILIARY = re.compile(
    r"(?:^|[.!?\n][ ]*|\b(?:[Ww]hen|[Ww]here|[Ww]hy|[Hh]ow|[Ww]hat|[Ww]ho|[Ww]hom)[ ]+)"
    r"(?i:is|was|does|did|has|can|could|will|would|should|may|might|shall)[ ]+$"
)
"""Text before the subject of a question."""
WITHIN = re.compile(r"(?:\b[a-z]+|(?:^|[.!?\n][ ]*)[A-Z][a-z]+)[ ]+$")
"""Text before a capital that is inside a sentence."""
WITH_ANOTHER = re.compile(
    r"(?:,[ ]+[A-Z][a-z]+)*,?[ ]+(?:and|&)[ ]+[A-Z][a-z]+(?:['’]s\b|[ ]+(?:both[ ]+)?(?:are|were|have|had|"
    r"[a-z]{2,}ed|met|went|wrote|left|came|work|live|sang|said)\b)"
)
PROPER = re.compile(r"^[ ]+(?:and|&)[ ]+(?:Sons|Co|Daughters|Partners|Company)\b")


def is_name(word: str, text: str, start: int, end: int) -> bool:
    """Check whether a listed name is used as a person's name.

    The context decides: a title, a family name, a verb, another name, the position in the sentence. If the
    context gives no evidence, other occurrences of the word in the text decide.

    Parameters
    ----------
    word : str
        The word as it is spelled in the text.
    text : str
        The whole text.
    start, end : int
        Character positions of the word in the text.

    Returns
    -------
    bool
        True if the word is a name. Always True for a word that is not in `WORD_NAMES`.
    """
    plain = word.capitalize() if word.isupper() else word
    if plain not in WORD_NAMES:
        return True
    is_person = evidence(word, text, start, end)
    return _shown(plain, text) if is_person is None else is_person


def evidence(word: str, text: str, start: int, end: int) -> bool | None:
    """Return True if the context shows that `word` is a name, False if it is a word, None if neither."""
    plain = word.capitalize() if word.isupper() else word
    before, after = text[max(0, start - 40) : start], text[end : end + 60]
    loud = word.isupper() and bool(
        re.search(r"\b[A-Z]{2,}[ ]+$", before) or re.match(r"[ ]+[A-Z]{2,}\b", after)
    )
    if TITLE.search(before) or (loud and LOUD_TITLE.search(before)):
        return True
    if word.isupper() and HEADING.search(before) and LOUD_ROLE.match(after):
        return True
    begins = BEGIN.search(before) is not None
    if WITH_ANOTHER.match(after) and not (begins and plain in THINGS | MONTHS) and not PROPER.search(after):
        return True
    if DETERMINER.search(before) or (
        plain in MONTHS and (MONTH.search(before) or re.match(r"[ ]+\d", after))
    ):
        return False
    if loud or (
        word.isupper() and plain in MODALS and not (AFTER_PERSON.search(before) and ENDED.match(after))
    ):
        return None
    if begins and plain in MODALS and SUBJECT.match(after):
        asked = re.match(r"[ ]+[A-Z][\w'’-]+(?P<verb>[ ]+[a-z]+|[.,;:)])", after)
        verb = asked.group("verb") if asked else ""
        return bool(
            verb and (not verb[-1].isalpha() or VERB.match(verb) or re.search(r"[^s]s$", verb))
        )  # otherwise the word begins a question
    if re.match(r"['’]s\b", after) or FAMILY.match(after) or GREETED.search(before):
        return True
    if (SAYING if plain in THINGS or plain in MONTHS else VERB).match(after):
        return True
    ends = ENDED.match(after) is not None
    if not begins and ends and AFTER_PERSON.search(before):
        return True
    if plain in MONTHS or plain in PLACES:
        return None
    if (
        CALLED.match(after)
        if begins
        else (AUXILIARY.search(before) or (before.endswith(", ") and re.match(r"[.!?]", after)))
    ):
        return True
    if plain in OF_THINGS and re.match(r"[ ]+[a-z]", after) and not ends:
        return False  # «Christian charity»
    if (
        not begins
        and plain not in THINGS
        and WITHIN.search(before)
        and (ends or re.match(r"[ ]+\w+ly\b", after))
    ):
        return True
    return False if re.match(r"[ ]+(?:periods?|garden|petals?|bush|water|sea|days?)\b", after) else None


@lru_cache(maxsize=64)
def _shown(name: str, text: str) -> bool:
    """Check whether any occurrence of `name` in the text, in any case, has evidence that it is a name."""
    matches = re.finditer(rf"(?<!\w)(?:{re.escape(name)}|{re.escape(name.upper())})(?!\w)", text)
    return any(evidence(m.group(), text, m.start(), m.end()) for m in matches)


def named(name: str, text: str) -> bool:
    """Check whether `text` names a person `name`, one of `WORD_NAMES`, at least once."""
    return _shown(name, text)


INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff\u0300-\u036f]")


LETTERS = {
    "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ħ": "h", "ı": "i",
    "þ": "th", "Þ": "Th", "æ": "ae", "Æ": "Ae",
    "œ": "oe", "Œ": "Oe", "ß": "ss", "ə": "a", "Ə": "A",
}  # fmt: skip
"""Letters that are not a base letter with an accent, and their replacement."""


def folded(text: str) -> tuple[str, list[int] | None]:
    """Remove accents and invisible characters.

    Returns
    -------
    folded : str
        The text without accents and invisible characters.
    places : list of int or None
        Position in `text` of each character of `folded`, and of the end. None if the two texts are equal.
    """
    if text.isascii():
        return text, None
    letters: list[str] = []
    places: list[int] = []
    for place, sign in enumerate(text):
        for letter in unicodedata.normalize("NFD", sign):
            for plain in LETTERS.get(letter, letter):
                if not INVISIBLE.match(plain):
                    letters.append(plain)
                    places.append(place)
    return "".join(letters), [*places, len(text)]


def composed(text: str) -> tuple[str, list[int] | None]:
    """Return the text in the normal form NFC, and the positions of its characters as `folded` does."""
    if unicodedata.is_normalized("NFC", text):
        return text, None
    letters: list[str] = []
    places: list[int] = []
    for match in re.finditer(r"(?s).[\u0300-\u036f]*", text):
        for letter in unicodedata.normalize("NFC", match.group()):
            letters.append(letter)
            places.append(match.start())
    return "".join(letters), [*places, len(text)]
