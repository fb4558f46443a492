"""Word tokens, refusals and language checks for texts in several languages."""

from __future__ import annotations

import re
from functools import lru_cache

SCRIPTS = {"ar": "\u0600-\u06ff", "zh": "\u3400-\u9fff"}
"""Languages that are recognised by their script. Other languages are recognised by their function words."""
FUNCTION_WORDS = {
    "en": "the and of to is that it with was he she they his her are be this not in you".split(),
    "es": (
        "el la los las y de que en es un una por con su para se lo más pero como porque está yo sin"
    ).split(),
    "pt": (
        "o os de e que em é um uma por com não seu sua para se mais mas como porque está eu do da ao quem sem"
    ).split(),
}
ENDS = ".!?。！？؟"
AN = re.compile(
    r"(?!(?:uni(?![mn])|u[ks][aeiu]|ut[ei]|ur[eo]|ubi|eu|ewe|on(?:e|ce)\b))[aeiou]|hour|hono[ru]|honest|heir",
    re.I,
)
SPELLED = re.compile(r"x-|[AEFHILMNORSX](?:-|[A-Z]{0,2}\b)")
"""The beginning of English words, and of spelled abbreviations, that have the article `an`."""
WORD = re.compile(rf"[{SCRIPTS['zh']}]|[^\W\d_{SCRIPTS['zh']}]+(?:['’][^\W\d_{SCRIPTS['zh']}]+)*")

REFUSAL = re.compile(
    r"\b(i('m| am) sorry|i can(no|')t\b.{0,30}\b(write|help|assist|provide|create)|as an ai\b|i('m| am) "
    r"(unable|not able))"
    r"|\b(lo siento, (pero )?no puedo|no puedo (escribir|ayudar|crear)|como (una )?(ia\b|inteligencia "
    r"artificial|modelo de lenguaje))"
    r"|\b(desculpe, (mas )?não posso|não posso (escrever|ajudar|criar)|como (uma? )?(ia\b|inteligência "
    r"artificial|modelo de linguagem))"
    r"|抱歉，|我无法(写|提供|帮助|创作|回答)|作为一?个?(ai|人工智能|语言模型)"
    r"|عذرًا، لا|لا أستطيع (كتابة|المساعدة)|لا يمكنني (كتابة|المساعدة|تقديم)|بصفتي نموذج|كنموذج لغوي",
    re.I,
)
"""Refusals in English, Spanish, Portuguese, Chinese and Arabic."""


def article(noun: str) -> str:
    """Return the indefinite article of an English noun, by its sound: an architect, a university clerk."""
    return "an" if SPELLED.match(noun) or (AN.match(noun) and not noun[:2].isupper()) else "a"


def words(text: str) -> list[str]:
    """Return the lower-case words of a text; each Chinese character counts as a word."""
    return WORD.findall(text.lower())


def count(text: str, cue: str, tokens: dict[str, int]) -> int:
    """Count `cue` in `text`: as a word of the counts `tokens`, or as a substring if the cue is Chinese."""
    return text.count(cue) if _chinese(cue) else tokens.get(cue, 0)


@lru_cache(maxsize=1 << 16)
def _chinese(cue: str) -> bool:
    return re.search(f"[{SCRIPTS['zh']}]", cue) is not None


def written_in(text: str, language: str) -> bool:
    """Check whether a text is written in a language.

    Chinese and Arabic are recognised by script: more than half of the letters must belong to it. Other
    languages are recognised by function words: those of the language must be at least as frequent as those of
    any other. Names in another script do not matter unless they are most of the text.

    Parameters
    ----------
    text : str
        Text to check.
    language : str
        ISO 639-1 code.

    Returns
    -------
    bool
        True also for a language that is neither in `SCRIPTS` nor in `FUNCTION_WORDS`, unless most letters are
        of one of the `SCRIPTS`.
    """
    letters = [c for c in text if c.isalpha()]
    shares = {k: len(re.findall(f"[{span}]", text)) / max(1, len(letters)) for k, span in SCRIPTS.items()}
    if language in SCRIPTS:
        return shares[language] > 0.5
    if max(shares.values()) > 0.5:
        return False
    if language not in FUNCTION_WORDS:
        return True
    tokens = words(text)
    hits = {k: sum(t in own for t in tokens) for k, own in FUNCTION_WORDS.items()}
    return hits[language] >= max(hits.values())
