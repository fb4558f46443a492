"""English grammar for masking and swapping: forms of «her» and «his», verbs after «they», capitals."""

from __future__ import annotations

import re

CLOSED = set(
    "a an the this that these those to with for and or but nor in on at by from as when while "
    "because if is was has had will would can "
    "could may might must should of about into after before through during again too up out off "
    "back down over there here how what are were be been do does did "
    "who whom which where why not then so than until since although though without within upon "
    "towards toward against today yesterday tomorrow tonight again anyway instead well alone".split()
)
"""Words that do not begin a noun phrase. Before them «her» is an object and «his» has no noun."""
ADVERBS = set(
    "also always often never ever still now then usually sometimes currently previously recently "
    "frequently regularly already just "
    "really truly only even both soon later once".split()
)
NOT_VERBS = ADVERBS | {
    "perhaps",
    "besides",
    "nevertheless",
    "nonetheless",
    "themselves",
    "thus",
    "as",
    "this",
}
AUXILIARIES = {
    "is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't",
    "hasn't": "haven't",
    "doesn't": "don't",
}  # fmt: skip
CONTRACTIONS = {"s": "re", "d": "d", "ll": "ll"}


SEEING = re.compile(
    r"\b(?:saw|sees?|seen|seeing|lets?|letting|makes?|made|making|help(?:s|ed|ing)?|hears?|heard|watch(?:es|"
    r"ed|ing)?|felt|noticed|had)[ ]+$",
    re.I,
)
GIVING = re.compile(
    r"\b(?:gives?|gave|given|giving|sent|sends?|offer(?:s|ed)?|told|tells?|show(?:s|ed)?|hand(?:s|ed)?|"
    r"ask(?:s|ed)?|bought|lent|taught|paid)[ ]+$",
    re.I,
)
BARE = set(
    "leave move know laugh cry go come work play sing dance swim run walk talk speak write read "
    "paint teach win lose sleep eat drink drive "
    "smile see hear feel think understand learn grow stay sit stand fall fly cook finish start "
    "begin try decide believe happy sad angry "
    "proud tired famous sick nervous feel look seem become get do be have take make find keep "
    "prepare succeed recover arrive return enter "
    "build carry open close pass pay wait climb do well jump choose say".split()
)
"""Words after «saw her» that describe what she does or is, and not a possession."""
NUMBERS = set(
    (
        "one two three four five six seven eight nine ten some many more several no enough everything "
        "something nothing money advice"
    ).split()
)


def objective(front: str, after: str) -> bool:
    """Check whether «her» between `front` and `after` is an object, as in «saw her leave»."""
    if re.match(r"\s+\d", after):
        return GIVING.search(front) is not None
    if alone(after):
        return True
    match = re.match(r"\s+([^\W\d_]+)(?:\s+([^\W\d_]+))?", after)
    word, more = match.group(1).lower(), (match.group(2) or "").lower()  # type: ignore[union-attr]
    if SEEING.search(front) and word in BARE and more not in AUXILIARIES:
        return True
    return GIVING.search(front) is not None and word in NUMBERS and more not in AUXILIARIES


def alone(following: str) -> bool:
    """Check whether a possessive before `following` has no noun: no noun phrase begins there."""
    match = re.match(r"\s+(\d|[^\W\d_]+)", following)
    return match is None or match.group(1).lower() in CLOSED


def plural(verb: str) -> str:
    """Return the plural of a verb in the third person singular («paints» → «paint»), or the word itself."""
    low = verb.lower()
    if low in AUXILIARIES:
        return AUXILIARIES[low]
    if low in NOT_VERBS or not low.endswith("s") or low.endswith(("ss", "us")) or len(low) < 4:
        return verb
    if low.endswith("ies") and len(low) > 4:
        return verb[:-3] + "y"
    if re.search(r"(ch|sh|x|ss|zz|o)es$", low):
        return verb[:-2]
    return verb[:-1]


def cased(word: str, like: str) -> str:
    """Return `word` with the capitals of `like`."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def agreed(article: str, following: str) -> str:
    """Return an article, with the space after it, in agreement with `following`."""
    if article.strip().lower() not in ("a", "an"):
        return article
    vowel = re.match(
        r"(?:[aeiou](?!ni[a-z]|ne\b|se)|hour|honest|heir)", following.lower()
    ) and not following.lower().startswith(("euro", "use"))
    return cased("an " if vowel else "a ", article.strip())


def with_article(article: str, new: str, gap: str) -> str:
    """Join an article and a replacement, with one article in agreement."""
    if new.lower().startswith("the "):
        new = new[4:]
    return f"{agreed(article + ' ', new).strip()}{gap}{new}"


def subject(word: str, after: str) -> tuple[int, str]:
    """Replace a subject by «they», with its verb if it follows at once or after adverbs.

    Returns the number of characters after the subject that are also replaced, and the replacement.
    """
    they = cased("they", word)
    short = re.match(r"['’](s|d|ll)\b", after)
    if short:
        end = (
            "ve"
            if short.group(1) == "s" and re.match(r"['’]s\s+(been|had|got)\b", after)
            else CONTRACTIONS[short.group(1)]
        )
        return short.end(), f"{they}{short.group(0)[0]}{end}"
    match = re.match(rf"((?:\s+(?:{'|'.join(sorted(ADVERBS))}))*\s+)([^\W\d_]+(?:['’]t)?)", after)
    if not match or plural(match.group(2)) == match.group(2):
        return 0, they
    return match.end(), f"{they}{match.group(1)}{plural(match.group(2))}"
