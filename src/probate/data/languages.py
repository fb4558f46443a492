"""Words and sentences of a text, and whether it is in the language that was asked for."""

from __future__ import annotations

import re
from functools import lru_cache

SCRIPTS = {"ar": "\u0600-\u06ff", "zh": "\u3400-\u9fff"}
"""Languages that are known by their script; others are known by their function words, where they are listed here."""
FUNCTION_WORDS = {
    "en": "the and of to is that it with was he she they his her are be this not in you".split(),
    "es": "el la los las y de que en es un una por con su para se lo más pero como porque está yo sin".split(),
    "pt": "o os de e que em é um uma por com não seu sua para se mais mas como porque está eu do da ao quem sem".split(),
}
ENDS = ".!?。！？؟"
WORD = re.compile(rf"[{SCRIPTS['zh']}]|[^\W\d_{SCRIPTS['zh']}]+(?:['’][^\W\d_{SCRIPTS['zh']}]+)*")

REFUSAL = re.compile(
    r"\b(i('m| am) sorry|i can(no|')t\b.{0,30}\b(write|help|assist|provide|create)|as an ai\b|i('m| am) (unable|not able))"
    r"|\b(lo siento, (pero )?no puedo|no puedo (escribir|ayudar|crear)|como (una )?(ia\b|inteligencia artificial|modelo de lenguaje))"
    r"|\b(desculpe, (mas )?não posso|não posso (escrever|ajudar|criar)|como (uma? )?(ia\b|inteligência artificial|modelo de linguagem))"
    r"|抱歉，|我无法(写|提供|帮助|创作|回答)|作为一?个?(ai|人工智能|语言模型)"
    r"|عذرًا، لا|لا أستطيع (كتابة|المساعدة)|لا يمكنني (كتابة|المساعدة|تقديم)|بصفتي نموذج|كنموذج لغوي",
    re.I,
)
"""A refusal in English, Spanish, Portuguese, Chinese or Arabic."""


def words(text: str) -> list[str]:
    """Lower-case words of a text; of Chinese, which writes no spaces, its characters."""
    return WORD.findall(text.lower())


def count(text: str, cue: str, tokens: dict[str, int]) -> int:
    """How often `cue` stands in `text`: as a word, or in Chinese as a string. `tokens`: the text's words, counted."""
    return text.count(cue) if _chinese(cue) else tokens.get(cue, 0)


@lru_cache(maxsize=1 << 16)
def _chinese(cue: str) -> bool:
    return re.search(f"[{SCRIPTS['zh']}]", cue) is not None


def written_in(text: str, language: str) -> bool:
    """Whether most letters are of the language's script; where scripts are shared, whether its function words prevail.

    Names in another script do not matter unless they are most of the text. A language that is not listed here passes.
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
