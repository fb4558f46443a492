"""Regular expression of everything that masking may replace."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import groupby

from probate.data.names import WORD_NAMES, folded
from probate.mitigations.wording.attributes import AGE, HERITAGE, YEARS_OLD
from probate.mitigations.wording.english import ADVERBS

TITLES = {"mrs", "ms", "miss", "mr", "mx"}
HONORIFIC = r"(?:(?:Dr|Prof|Professor|Dra|Profa)\b\.?[ ]+)+"
DOCTOR = r"(?:(?:Dr|Dra|Prof|Profa)\b\.?[ ]+)+(?!Emerit|Dr\b|Prof\b)[A-ZÀ-Ý](?:[\w-]|['’](?!s\b))*"
"""Academic title with a name, which is a person's name even if it is not listed."""
FAMILY = (
    r"(?:[ ]+[A-Z]\.?(?=[ ]))?(?:[ ]+(?:(?:van (?:der|den|de)|von der|de (?:la|los|las)|del|della|di|der|"
    r"den|ter|ten|bin|ibn|bint|la|le|das|e|y)[ ]+"
    r"|(?:dos|de|da|do|van|von|al-|el-)[ ]*)?[A-ZÀ-Ý][\w'’-]*(?!['’]s\b)){0,2}"
)
"""Text that may follow a first name: an initial, a particle, one or two family names."""
NO_FAMILY = (
    "IS|WAS|HAS|AND|THE|FOR|WITH|BY|IN|AT|OF|SAID|SAYS|WILL|CAN|CAME|LEFT|WENT|MET|WHO|HAD|ARE|BUT|FROM|TO|ON"
)
LOUD_FAMILY = rf"(?:[ ]+(?!(?:{NO_FAMILY})\b)[A-Z][A-Z'’-]{{2,}}(?!\w))?"
SYLLABLES = (
    "Chan Chang Chen Cheng Chi Chia Ching Chun Dae Dong Eun Fang Fen Feng Gyu Hee Hong Hoon Hsiu "
    "Hua Hui Hwa Hye Hyun Jae Jeong Jia Jian Jie Jin Jing "
    "Ji Joo Juan Jun Jung Kai Kyu Kyung Lan Lei Li Lian Lin Ling Mei Mi Min Ming Myung Na Ning Pei "
    "Ping Qi Qing Rong Rui Sang Seo Seok Seon Seung Shan Shu "
    "Siu Sook Soo Su Suk Sun Sung Tae Ting Wai Wan Wei Wen Wing Woo Wook Xia Xiao Xin Xiu Xue Ya "
    "Yan Yang Ye Yeon Yi Yin Ying Yong Yoon Yu Yuan Yue Yun "
    "Zhen Zhi".split()
)
"""Syllables of Chinese and Korean first names with a hyphen: «Shu-fen», «Ji-woo»."""
DIGITS = "0123456789tTfFsSeEnNoO"
"""First characters of numbers, in figures or in words."""
CHAIN = r"(?:,[ ]+|[ ]+(?:and|or)[ ]+|[ ]+)"


def either(words: Iterable[str], any_case: bool = False, joined: bool = False) -> str:
    """Return a regular expression that matches the longest of some words.

    The expression is a prefix tree, so one character rules out most words.

    Parameters
    ----------
    words : iterable of str
        Words to match.
    any_case : bool
        If True, ignore case.
    joined : bool
        If True, spaces and hyphens are equivalent.

    Returns
    -------
    str
        The regular expression. Without words it never matches.
    """

    def sign(letter: str) -> str:
        if joined and letter == " ":
            return "[ -]"
        small, large = letter.lower(), letter.upper()
        return (
            f"[{small}{large}]"
            if any_case and small != large and len(small + large) == 2
            else re.escape(letter)
        )

    def branch(left: list[str]) -> str:
        heads = [
            (letter, [v[1:] for v in rest])
            for letter, rest in groupby((w for w in left if w), key=lambda w: w[0])
        ]
        options = [sign(letter) + (branch(rest) if rest != [""] else "") for letter, rest in heads]
        if "" in left:
            options.append("")
        return options[0] if len(options) == 1 else f"(?:{'|'.join(options)})"

    spelled = {w.lower() if any_case else w for w in words}
    return branch(sorted({w.replace("-", " ") if joined else w for w in spelled})) if spelled else r"(?!)"


@lru_cache(maxsize=8)
def pattern(
    people: Collection[str],
    words: Sequence[str],
    adjectives: Sequence[str],
    fixed: Sequence[str],
    language: str,
    ages: bool = False,
) -> re.Pattern[str]:
    """Compile the regular expression of names and words.

    Names match as they are spelled or in capitals, in alphabetic scripts with the family name. Words match in
    any case. The result is cached, so all arguments must be hashable.
    """
    stays = f"(?P<fixed>{either(fixed)})"
    if language == "zh":
        return re.compile(rf"{stays}|(?P<name>(?P<first>{either(people)}))|(?P<word>{either(words)})")
    if language == "ar":
        head = rf"(?:[وف](?=(?:{either(words)})(?!\w)))?(?:ال|وال|بال|لل)?"
        return re.compile(
            rf"(?<!\w)(?:{stays}(?!\w)|(?P<name>(?P<first>{either(people)}))(?!\w)|"
            rf"(?P<word>{head}(?:{either(words)}))(?!\w))"
        )
    if language != "en":
        return re.compile(
            rf"(?<!\w)(?:{stays}(?!\w)|(?P<name>(?:(?:{HONORIFIC})?(?P<first>{either(people)})|{DOCTOR})"
            rf"(?!\w){FAMILY})|(?P<word>{either(words, True)})(?!\w))"
        )
    people = {folded(n)[0] for n in people}
    words = [folded(w)[0] for w in words]
    shout = either(n.upper() for n in people & WORD_NAMES)
    titled = {w.capitalize() for w in words if w in TITLES}  # «MS» is a degree, «miss» a verb
    plain = either((w for w in words if w not in TITLES), any_case=True)
    adverb = rf"(?:(?:{'|'.join(sorted(ADVERBS))})\s+)"
    grammar = "she" in words and "he" in words
    either_sex = (
        r"\(s\)he|s/he|she/her|he/him|she(?:/|[ ]or[ ])he|he(?:/|[ ]or[ ])she|hi[ms](?:/|[ ]or[ ])her|"
        r"her(?:/|[ ]or[ ])hi[ms]"
    )
    name = (
        rf"(?=[A-Z])(?P<name>(?:(?:{HONORIFIC})?(?:[A-Z][a-z]+-)*(?P<first>{either(people)})(?:-[A-Z]\w*)*"
        rf"(?!\w){FAMILY}"
        rf"|{DOCTOR}(?!\w){FAMILY}|(?P<shout>{shout})(?!\w){LOUD_FAMILY}|[OD]['’][A-Z][a-z]+(?!\w){FAMILY}"
        rf"|(?:{'|'.join(SYLLABLES)})-(?:{'|'.join(SYLLABLES).lower()})(?!\w){FAMILY}"
        rf"{f'|(?P<loud>[A-Z]{{3,}}(?:-[A-Z]+)*)(?!{chr(92)}w){LOUD_FAMILY}' if people else ''}))"
    )
    heads = (
        {c for w in adjectives for c in (w[0], w[0].upper())} | set("aAtToOeE") | set(DIGITS if ages else "")
    )
    one = (
        rf"(?:{either(adjectives, any_case=True, joined=True)}(?i:{HERITAGE})"
        rf"{f'|(?i:{YEARS_OLD})' if ages else ''})"
    )
    age = rf"|(?=[{DIGITS}aAbB])(?P<age>(?i:{AGE}))" if ages else ""
    address = r"(?P<address>[\w.+-]+@[\w.-]+\w|(?:https?://|www\.)[^\s<>\"]+)"
    both = rf"(?=[(hHsS])(?P<both>(?i:{either_sex}))(?!\w)"
    asked = r"(?=[iIwWhHdD])(?P<asked>(?i:(?:is|was|has|does)(?:n['’]t)?[ ](?:she|he)))(?!\w|['’])"
    article = r"(?P<article>(?i:an?|the|one|another|every|each)[ ]+)"
    attr = (
        rf"(?<!-)(?=[{''.join(sorted(heads))}])(?P<attr>{article}?(?!(?:{either(fixed)})(?!\w))"
        rf"(?P<chain>{one}(?:{CHAIN}{one})*)"
        r"(?:(?P<gap>[ ]+)(?=[a-z])|(?![\w-])))"
    )
    tail = rf"(?=[abo])(?P<tail>(?:and|but|or)\s+(?:{adverb}*(?:is|was|has|does)|{adverb}+[a-z]+s)(?!\w))"
    return re.compile(
        rf"(?<!\w)(?:{address}|{stays}(?!\w)"
        + (rf"|{both}|{asked}" if grammar else "")
        + (
            rf"|{name}{age}|{attr}|(?P<word>{either(titled)}|(?:MRS|MR|MS|MX)(?=\.[ ][A-Z])|{plain})(?!\w)|"
            rf"{tail})"
        )
    )
