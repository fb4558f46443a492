"""Arabic: the lexicon's words in all their forms, wherever they stand.

No tagger: of those that install as a package, RippleTagger's Arabic model names 11 of 39 labelled adjectives as such, and
leaving out only what it takes for verbs loses nearly half of the masculine forms in some sentences, but not of the feminine
ones: a measure by gender must not rest on that.
"""

from __future__ import annotations

import re

from probate.tasks.taggers.words import Forms, sentences

ENDINGS = ("", "ة", "ا", "ات", "ون", "ين", "ان", "تان", "تين", "ي", "ية", "يا")


def adjectives(text: str) -> list[Forms]:
    """Each word, with its stems: which of them is an adjective, the lexicon decides."""
    return [(word, *stems(word)) for words in sentences(text) for word in words]


def stems(word: str) -> Forms:
    """The word without «and», article and endings of gender and number, in one spelling. Broken plurals are not seen."""
    whole = spelled(word)
    heads = [whole, whole[1:]] if whole[0] in "وف" and len(whole) > 3 else [whole]
    bare = [re.sub(r"^(?:[بك]?ال|لل)(?=...)", "", head) for head in heads]
    return tuple(
        b[: len(b) - len(end)] for b in bare for end in ENDINGS if b.endswith(end) and len(b) - len(end) > 1
    )


def spelled(word: str) -> str:
    """One spelling for words that differ in vowel signs, hamza or final ya."""
    return re.sub("[\u064b-\u0652\u0640]", "", word).translate(str.maketrans("أإآىؤئ", "اااي" + "ءء"))
