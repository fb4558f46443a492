"""English grammar for masking and swapping: which «her» and «his», verbs after «they», capitals."""

from __future__ import annotations

import re

CLOSED = set(
    "a an the this that these those to with for and or but nor in on at by from as when while because if is was has had will would can "
    "could may might must should of about into after before through during again too up out off back down over there here how what are were be been do does did "
    "who whom which where why not then so than until since although though without within upon towards toward against today yesterday tomorrow tonight again anyway instead well alone".split()
)
"""Words that do not begin a noun phrase after a possessive: before them «her» is an object and «his» stands alone."""
ADVERBS = set(
    "also always often never ever still now then usually sometimes currently previously recently frequently regularly already just "
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
    "is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't", "hasn't": "haven't",
    "doesn't": "don't",
}  # fmt: skip
CONTRACTIONS = {"s": "re", "d": "d", "ll": "ll"}


SEEING = re.compile(
    r"\b(?:saw|sees?|seen|seeing|lets?|letting|makes?|made|making|help(?:s|ed|ing)?|hears?|heard|watch(?:es|ed|ing)?|felt|noticed|had)[ ]+$",
    re.I,
)
GIVING = re.compile(
    r"\b(?:gives?|gave|given|giving|sent|sends?|offer(?:s|ed)?|told|tells?|show(?:s|ed)?|hand(?:s|ed)?|ask(?:s|ed)?|bought|lent|taught|paid)[ ]+$",
    re.I,
)
BARE = set(
    "leave move know laugh cry go come work play sing dance swim run walk talk speak write read paint teach win lose sleep eat drink drive "
    "smile see hear feel think understand learn grow stay sit stand fall fly cook finish start begin try decide believe happy sad angry "
    "proud tired famous sick nervous feel look seem become get do be have take make find keep prepare succeed recover arrive return enter "
    "build carry open close pass pay wait climb do well jump choose say".split()
)
"""After «saw her»: what she does or is, not what is hers."""
NUMBERS = set(
    "one two three four five six seven eight nine ten some many more several no enough everything something nothing money advice".split()
)


def objective(front: str, after: str) -> bool:
    """Whether «her» between `front` and `after` is an object: nothing that could be hers follows, or «saw her leave», «gave her two books»."""
    if re.match(r"\s+\d", after):
        return GIVING.search(front) is not None
    if alone(after):
        return True
    found = re.match(r"\s+([^\W\d_]+)(?:\s+([^\W\d_]+))?", after)
    word, more = found.group(1).lower(), (found.group(2) or "").lower()  # type: ignore[union-attr]
    if SEEING.search(front) and word in BARE and more not in AUXILIARIES:
        return True
    return GIVING.search(front) is not None and word in NUMBERS and more not in AUXILIARIES


def alone(following: str) -> bool:
    """Whether a possessive that `following` comes after has no noun: punctuation, the end, or a word that begins no noun phrase."""
    found = re.match(r"\s+(\d|[^\W\d_]+)", following)
    return found is None or found.group(1).lower() in CLOSED


def plural(verb: str) -> str:
    """A verb in the third person singular, as it stands after «they»; anything else unchanged."""
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
    """`word` with the capitals of `like`."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def agreed(article: str, following: str) -> str:
    """`article`, with the space after it, as it stands before `following`."""
    if article.strip().lower() not in ("a", "an"):
        return article
    vowel = re.match(
        r"(?:[aeiou](?!ni[a-z]|ne\b|se)|hour|honest|heir)", following.lower()
    ) and not following.lower().startswith(("euro", "use"))
    return cased("an " if vowel else "a ", article.strip())


def with_article(article: str, new: str, gap: str) -> str:
    """An article and what now stands after it: one article, in agreement."""
    if new.lower().startswith("the "):
        new = new[4:]
    return f"{agreed(article + ' ', new).strip()}{gap}{new}"


def subject(word: str, after: str) -> tuple[int, str]:
    """«they» for a subject, with its verb: taken along where it follows at once, perhaps after an adverb."""
    they = cased("they", word)
    short = re.match(r"['’](s|d|ll)\b", after)
    if short:
        end = (
            "ve"
            if short.group(1) == "s" and re.match(r"['’]s\s+(been|had|got)\b", after)
            else CONTRACTIONS[short.group(1)]
        )
        return short.end(), f"{they}{short.group(0)[0]}{end}"
    found = re.match(rf"((?:\s+(?:{'|'.join(sorted(ADVERBS))}))*\s+)([^\W\d_]+(?:['’]t)?)", after)
    if not found or plural(found.group(2)) == found.group(2):
        return 0, they
    return found.end(), f"{they}{found.group(1)}{plural(found.group(2))}"
