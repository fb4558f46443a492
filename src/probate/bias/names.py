"""First names that are also everyday words: whether one is a name where it stands."""

from __future__ import annotations

import re
import unicodedata

WORD_NAMES = frozenset(
    "Adam April August Autumn Art Bill Brandy Brook Brooks Bud Carol Chance Chase Christian Chuck Crystal Daisy Dale Dawn Dean "
    "Destiny Don Drew Earl Faith Frank Grace Grant Guy Harmony Hazel Heather Heath Holly Hope Hunter Iris Ivy Jade "
    "Jasmine Jewel Joy June King Lance Lily Mark Mason May Melody Max Miles Misty Olive Pat Patience Pearl Penny Pierce Price "
    "Ray Reed Rich Roman Rose Ruby Rusty Sage Skip Sky Sterling Summer Sunny Trinity Violet Virginia "
    "Wade Ward Will Willow Victoria Jordan China Israel Paris Florence Austin Dallas Madison Georgia".split()
)
"""Each needs evidence around it; any other listed name is taken as one."""
COMMON = frozenset(
    "Will May Rose Mark Hope Faith Joy Bill Frank Grace Grant Dawn Daisy Lily Ivy Iris Ruby Pearl Hazel Holly Heather Jade Ray Drew Violet "
    "Carol Jordan April June Christian Adam".split()
)
"""Those of `WORD_NAMES` that are masked and swapped beside the names of the lists."""
THINGS = {"Hope", "Faith", "Joy", "Grace", "Patience", "Harmony", "Destiny", "Jordan", "China", "Israel", "Virginia", "Georgia", "Art", "Bill", "Grant"}
"""What «is» and «was» may well follow."""
MONTHS = {"April", "May", "June", "August"}
TITLE = re.compile(r"\b(?:Mrs?|Ms|Mx|Miss|Dr|Prof|Professor|Sir|Lady|Lord|Aunt|Uncle|Sister|Brother|Saint|St|Nurse)\.?[ ]+$")
DETERMINER = re.compile(
    r"\b(?:an?|the|this|that|these|those|one|two|many|some|any|no|every|each|most|my|our|your|his|her|their|its|former|late|early|good|"
    r"devout|young|old|red|white)[ ]+$",
    re.I,
)
MONTH = re.compile(r"(?:\b(?:in|of|by|since|until|till|during|last|next|early|late|mid|from|every|through|to|between|\d{1,2}(?:st|nd|rd|th)?)[ -]+)$", re.I)
BEGIN = re.compile(r"(?:^|[.!?:;\n•|«“\"(>*#-])[\s«“\"(>*#_-]*$")
SUBJECT = re.compile(r"[ ]+(?:I|you|she|he|it|we|they|the|this|that|there|[A-Z][a-z]+)\b")
FAMILY = re.compile(r"[ ]+(?:[A-Z]\.[ ]+)?(?:(?:de|da|van|von|al-)[ ]*)?[A-ZÀ-Ý][\w’'-]+")
SAYING = re.compile(
    r"(?:,?[ ]+(?:who|whose)\b|[ ]+(?:(?:also|now|often|never|always|then|just|still)[ ]+)?(?:says?|said|works|writes|wrote|lives|came|"
    r"goes|went|left|met|knows|knew|thinks|thought|taught|teaches|told|tells|saw|sees|sang|spoke|speaks|likes|loves|wants|paints|studies|felt)\b)"
)
"""What a person does, and a thing does not."""
VERB = re.compile(
    r"(?:,?[ ]+(?:who|whose)\b|[ ]+(?:(?:also|now|often|never|always|then|just|still)[ ]+)?(?:is|was|has|had|will|would|can|could|does|did|"
    r"says?|said|works|writes|wrote|lives|came|comes|went|goes|left|leaves|met|knows|knew|thinks|thought|taught|teaches|became|began|"
    r"got|gets|gave|gives|made|makes|took|takes|told|tells|saw|sees|ran|runs|sang|spoke|speaks|likes|loves|wants|paints|studies|"
    r"spent|felt|found|grew|holds|held|won|kept|[a-z]{2,}ed)\b)"
)
AFTER_PERSON = re.compile(
    r"\b(?:met|with|by|and|to|for|from|called|named|told|asked|saw|thanked|married|joined|I'm|am|is|hired|knows|that|whether|but|when|if|so)[ ]+$"
)
ENDED = re.compile(r"[ ]*(?:[.,;:!?)\]”\"»\n]|$|(?:and|or|but|who|to|in|at|for|on|with|as|when|because|from)\b)")


def is_name(word: str, text: str, start: int, end: int) -> bool:
    """Whether `word`, at `start` to `end` of `text`, is a person's name: by a title, a family name, a verb or its place in the sentence."""
    if word.isupper() or word not in WORD_NAMES:
        return word not in WORD_NAMES and word.capitalize() not in WORD_NAMES
    before, after = text[max(0, start - 40) : start], text[end : end + 60]
    if TITLE.search(before):
        return True
    if DETERMINER.search(before) or (word in MONTHS and (MONTH.search(before) or re.match(r"[ ]+\d", after))):
        return False
    begins = BEGIN.search(before) is not None
    if begins and word in ("Will", "May", "Mark", "Grant", "Chase", "Skip", "Bill", "Drew") and SUBJECT.match(after):
        return bool(re.match(r"[ ]+[A-Z][\w'’-]+[ ]+(?:is|was|has|\w+ed)\b", after))
    if re.match(r"['’]s\b", after) or FAMILY.match(after):
        return True
    if (SAYING if word in THINGS or word in MONTHS else VERB).match(after):
        return True
    return not begins and AFTER_PERSON.search(before) is not None and ENDED.match(after) is not None


def named(name: str, text: str) -> bool:
    """Whether `text` names a person `name`, of `WORD_NAMES`, at least once."""
    return any(is_name(name, text, m.start(), m.end()) for m in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text))


INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff\u0300-\u036f]")


def folded(text: str) -> tuple[str, list[int] | None]:
    """A text without accents and invisible signs, and for each character, and the end, its place in `text`; None where they are the same."""
    if text.isascii():
        return text, None
    letters: list[str] = []
    places: list[int] = []
    for place, sign in enumerate(text):
        for letter in unicodedata.normalize("NFD", sign):
            if not INVISIBLE.match(letter):
                letters.append(letter)
                places.append(place)
    return "".join(letters), [*places, len(text)]


def composed(text: str) -> tuple[str, list[int] | None]:
    """A text with each letter and its accents as one sign, and places as in `folded`."""
    if unicodedata.is_normalized("NFC", text):
        return text, None
    letters: list[str] = []
    places: list[int] = []
    for found in re.finditer(r"(?s).[\u0300-\u036f]*", text):
        for letter in unicodedata.normalize("NFC", found.group()):
            letters.append(letter)
            places.append(found.start())
    return "".join(letters), [*places, len(text)]
