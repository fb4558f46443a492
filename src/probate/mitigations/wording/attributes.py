"""English adjectives and ages: masked if they describe a person, kept if they describe a thing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from probate.data.names import VERB, WORD_NAMES
from probate.mitigations.wording.english import AUXILIARIES, CLOSED, NOT_VERBS, agreed, cased

TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
UNITS = "one|two|three|four|five|six|seven|eight|nine"
TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
NUMBER = rf"(?:\d{{1,3}}|(?:{TENS})(?:[- ](?:{UNITS}))?|{TEENS}|{UNITS})"
YEARS_OLD = rf"{NUMBER}(?:[- ]?year[- ]olds?|-years?-olds?)"
HERITAGE = (
    r"(?:[ -](?:americans?|british|canadians?|australians?|europeans?|caribbean|descent|origin)|"
    r"-(?:speaking|born|raised|educated))?"
)
"""Second words of two-word adjectives: «African American», «Spanish-speaking»."""
DECADES = {
    "teens",
    "twenties",
    "thirties",
    "forties",
    "fifties",
    "sixties",
    "seventies",
    "eighties",
    "nineties",
}
AGE = (
    r"(?:aged|age|(?:at[ ]the[ ])?age[ ]of|turn(?:s|ed|ing)?)[ ]+(?:only[ ]+|just[ ]+|about[ ]+)"
    rf"?{NUMBER}(?![\w%]|[.,]\d|[- ]year)"
    rf"|{NUMBER}[ ]+(?:years|yrs)[ ]+(?:old|of[ ]age)(?!\w)|born[ ](?:in|on)[ ](?:[A-Z][a-z]+[ ](?:\d{{1,"
    rf"2}},?[ ])?|the[ ])?(?:1[89]|20)\d\d(?!\w)"
    rf"|\d{{1,3}}(?:st|nd|rd|th)[ ]birthday(?!\w)|(?:{'|'.join(sorted(DECADES))})(?!\w)"
    r"|[1-9]\d(?=[,;.)!?]|[ ]+(?:who|and|with|was|is|when|but|[a-z]{2,}ed)\b|\s*$)(?![.,]\d)"
)
AFTER_A_PERSON = re.compile(r"((?:\b[A-Z][\w'’.-]*[ ]*){1,4}|\b[a-z]+)[ ]?(?:[,(][ ]?|of[ ]+)$")
"""Text before a bare number: «Anna Miller, 67,», «a woman of 67»."""
SEVERAL = set(
    (
        "team crew staff family household people population community congregation minority women men "
        "folk panel"
    ).split()
)
"""Before «of 40» these words denote a count of people and not an age."""
HOW_OLD = re.compile(rf"(?:{NUMBER}|(?:1[89]|20)\d\d)(?:st|nd|rd|th)?(?=\W*(?:years|yrs|birthday)|$)", re.I)
OWN_DECADE = re.compile(
    r"\b(?:my|your|his|her|their|our|whose)[ ]+(?:very[ ]+)?(?:(?:early|mid|middle|late)[ -]+)?$", re.I
)
IN_THE_DECADE = re.compile(r"\b(\w+)[ ]+in[ ]+(?:the|one['’]s)[ ]+(?:early|mid|middle|late)[ -]+$", re.I)
COPULA = re.compile(
    r"\b(\w+)(?:['’]s|[ ]+(?:is|was|are|were|has|had|being|be|been|now|only|just|about|nearly|almost|over|"
    r"turned|who|that|which))*"
    r"[ ]*,?[ ]*$"
)
PREDICATE = re.compile(
    r"\b(\w+)(?:['’](?:s|re|m)|[ ]+(?:is|was|are|were|am|became|becomes|felt|feels))[ ]+"
    r"(?:(?:also|a|an|both|very|quite|not|now|still|being|openly|proudly|\w+ly)[ ]+)*"
    r"(?:[\w-]+(?:,[ ]+(?:and[ ]+|but[ ]+)?|[ ]+(?:and|but)[ ]+)){0,3}$"
)
WHO = {"she", "he", "they", "who", "i", "you", "we"}
NO_NOUN = CLOSED | NOT_VERBS | set(AUXILIARIES) | set("they she he her him his we you it".split())
WORDS = re.compile(r"['’]?[ ]*([A-Za-z]+(?:[-'’][A-Za-z]+)*)")
PERSONAL = re.compile(r"[a-z]{2,}(?:er|or|eer|ist|ian|yst|man|men|woman|women)s?$")
ABSTRACT = re.compile(
    r"[a-z]{2,}(?:tion|sion|ment|ness|ity|ism|ship|hood|logy|ture|ance|ence|age|ary|phy|ics|ing|eria|ium|"
    r"ware|ry)s?$"
)
PLURALS = {
    "arab", "brazilian", "mexican", "asian", "african", "hispanic", "latina", "latino", "buddhist",
    "christian", "hindu", "muslim",
    "atheist", "catholic", "protestant", "sikh", "mormon", "evangelical", "agnostic", "egyptian", "moroccan",
    "iraqi", "jordanian",
    "tunisian", "libyan", "colombian", "chilean", "peruvian", "argentinian", "indian", "american",
    "caucasian", "islander",
}  # fmt: skip
"""Adjectives that are also nouns with a plural form."""


class Attributes:
    """Replacements of adjectives of groups and of ages, by their context.

    Parameters
    ----------
    table : dict
        The words of the language: `ordinary`, `persons`, `things`, `neutral`.
    anywhere : collection of str
        Adjectives that are masked in every context, such as those of a culture and of the sexes.
    people : collection of str
        First names, in lower case.
    """

    def __init__(self, table: dict[str, Any], anywhere: Collection[str], people: Collection[str]) -> None:
        self.ordinary, self.things = set(table["ordinary"]), set(table["things"])
        self.persons = set(table["persons"]) | set(table["neutral"]) | {"person", "people", "they"}
        self.anywhere, self.people = set(anywhere), people

    def kind(self, word: str) -> str:
        """Classify a lower-case noun by lists and endings: `person`, `thing` or an empty string."""
        forms = {
            word,
            word.removesuffix("s"),
            word.removesuffix("es"),
            word.removesuffix("'s"),
            re.sub("ies$", "y", word),
        }
        forms |= {f.rsplit("-", 1)[-1] for f in forms}
        if forms & self.persons:
            return "person"
        if forms & self.things or any(ABSTRACT.fullmatch(f) for f in forms):
            return "thing"
        return "person" if PERSONAL.fullmatch(word) else ""

    def referent(self, after: str) -> str:
        """Classify the noun phrase at the beginning of `after`: `person`, `thing` or an empty string."""
        first = ""
        for place, word in enumerate(self._phrase(after)):
            kind = self.kind(word.lower())
            if kind == "person" or (place == 0 and word.lower() in self.people):
                return "person"
            if first:
                return first
            first = kind
        return first

    def _phrase(self, after: str) -> Iterator[str]:
        place = 0
        for count in range(4):
            word = WORDS.match(after, place)
            if not word or (count and VERB.match(f" {word.group(1)} ")) or _ends(word.group(1)):
                return
            yield word.group(1)
            place = word.end()

    def adjective(
        self, match: re.Match[str], front: str, after: str, mask: str, everything: bool
    ) -> tuple[int, str]:
        """Replace an adjective, or a chain of adjectives.

        «an Arab engineer» becomes «an engineer», but «a female who» becomes «a person who». «a white coat»
        and «a Christian charity» do not change.

        Parameters
        ----------
        match : re.Match
            Match of the adjectives, with the groups `article`, `chain` and `gap`.
        front, after : str
            Text before and after the match.
        mask : str
            Replacement of words without a neutral word.
        everything : bool
            If True, `mask` replaces every word.

        Returns
        -------
        extra : int
            Number of characters after the match that are also replaced.
        new : str
            The replacement.
        """
        article, chain, gap = match.group("article") or "", match.group("chain"), match.group("gap") or ""
        whole = match.group()
        word = WORDS.match(after)
        following = word.group(1) if gap and word else ""
        noun = (
            bool(following)
            and following[0].islower()
            and not _ends(following)
            and not VERB.match(f" {following} ")
        )
        adjectives = [a.lower() for a in re.split(r",?[ ]+(?:and[ ]+|or[ ]+)?", chain)]
        begins = not front.strip() or front.rstrip().endswith((".", "!", "?", ":", "\n"))
        described = self.referent(after) if noun else ""
        if (
            noun
            and not described
            and article.strip().lower() not in ("", "the")
            and re.search("[^s]s$", following)
        ):
            noun = False  # «every Muslim prays»
        sexed = all(a in ("female", "male") for a in adjectives)
        aged = any("year" in a for a in adjectives)
        name = re.match(r"[ ]+([A-Z]\w+)", after)
        if name and name.group(1).lower() in self.people and name.group(1) not in WORD_NAMES:
            return 1, ""
        if name and self.anywhere & set(adjectives) and self.referent(after) != "person":
            return 0, f"{agreed(article, mask)}{mask}"  # «the Brazilian Society»
        if name and not self.anywhere & set(adjectives):
            if self.referent(after) != "person" or not article:  # «the Black Sea», «a Hindu Kush range»
                return 0, whole
            return (1, agreed(article, after.lstrip())) if after[:1] == " " else (0, whole)
        if noun and described == "thing" and not self.anywhere & set(adjectives):
            return 0, whole
        if any(a in self.ordinary for a in adjectives):
            named = (
                chain[0].isupper()
                and not chain.isupper()
                and not begins
                and adjectives[0] in ("black", "white", "deaf")
            )
            alone = not article and not noun
            if not (
                (named and not described)
                or described == "person"
                or (alone and self._predicate(front, adjectives))
            ):
                return 0, whole
        if everything:
            return 0, f"{agreed(article, mask)}{mask}{gap}"
        if noun:
            if article:
                return 0, agreed(article, following)
            return (1, following[0].upper()) if chain[0].isupper() and begins else (0, "")
        if chain.lower().endswith(("americans", "olds")):
            return 0, f"{article}{cased('people', chain if begins and not article else 'x')}{gap}"
        identity = adjectives[-1] in PLURALS or adjectives[-1].endswith("american") or aged
        if article or sexed:
            person = "person" if sexed or identity or article.strip().lower() != "the" else mask
            return 0, f"{agreed(article, person)}{person if article else cased(person, chain)}{gap}"
        return 0, f"{mask}{gap}"

    def _predicate(self, front: str, adjectives: Sequence[str]) -> bool:
        """Check whether the text before an adjective refers to a person: «She is», «whose father was»."""
        match = PREDICATE.search(front)
        if not match:
            return False
        subject = match.group(1)
        low = subject.lower()
        if self._person(low):
            return True
        first = re.search(r"(?:^|[.!?:\n])[\s\"“«(]*$", front[: match.start()]) is not None
        return (
            subject[0].isupper()
            and not self.kind(low)
            and not (first and set(adjectives) & {"white", "black", "rich", "poor"})
        )

    def _person(self, word: str) -> bool:
        """Check whether a lower-case word denotes a person: a pronoun, a listed name or a noun."""
        return word in WHO or word in self.people or self.kind(word) == "person"

    def age(self, whole: str, front: str, mask: str) -> str:
        """Replace an age («aged 67» → «aged [MASK]»); ages of things and decades of time do not change."""
        low = whole.lower()
        if low in DECADES:
            of_whom = IN_THE_DECADE.search(front)
            own = OWN_DECADE.search(front) or (of_whom and self._person(of_whom.group(1).lower()))
            return mask if own else whole
        if low.isdigit():
            of_whom = AFTER_A_PERSON.search(front)
            nouns = of_whom.group(1).lower().split() if of_whom else []
            several = front.rstrip().endswith("of") and set(nouns) & SEVERAL
            own = any(map(self._person, nouns)) or self._predicate(front, ())
            own = own and not several
            return mask if own else whole
        subject = COPULA.search(front)
        word = subject.group(1) if subject else ""
        before = word.lower()
        if before in ("it", "this", "that", "which", "its") or self.kind(before) == "thing":
            return whole
        if low.startswith("turn") and not (self._person(before) or word[:1].isupper()):
            return whole
        return HOW_OLD.sub(mask, whole, count=1)


def _ends(word: str) -> bool:
    """Check whether a word ends a noun phrase."""
    return word.lower() in NO_NOUN
