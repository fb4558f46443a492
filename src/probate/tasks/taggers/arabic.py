"""Arabic: the words of the lexicon in all their forms, without a tagger.

Of the taggers that are Python packages, RippleTagger's Arabic model recognises 11 of 39 labelled adjectives.
Leaving out only the words that it tags as verbs loses nearly half of the masculine forms in some sentences,
but not of the feminine ones. A measure by gender must not depend on that.
"""

from __future__ import annotations

import re

from probate.tasks.taggers.words import Forms, sentences

ENDINGS = ("", "ة", "ا", "ات", "ون", "ين", "ان", "تان", "تين", "ي", "ية", "يا")


def adjectives(text: str) -> list[Forms]:
    """Return each word with its stems; the lexicon decides which of them are adjectives."""
    return [(word, *stems(word)) for words in sentences(text) for word in words]


def stems(word: str) -> Forms:
    """Return the word without «and», article and endings of gender and number, in one spelling.

    Broken plurals are not recognised.
    """
    whole = spelled(word)
    heads = [whole, whole[1:]] if whole[0] in "وف" and len(whole) > 3 else [whole]
    bare = [re.sub(r"^(?:[بك]?ال|لل)(?=...)", "", head) for head in heads]
    return tuple(
        b[: len(b) - len(end)] for b in bare for end in ENDINGS if b.endswith(end) and len(b) - len(end) > 1
    )


def spelled(word: str) -> str:
    """Return one spelling for words that differ in vowel signs, hamza or final ya."""
    return re.sub("[\u064b-\u0652\u0640]", "", word).translate(str.maketrans("أإآىؤئ", "اااي" + "ءء"))
