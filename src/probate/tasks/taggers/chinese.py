"""Chinese: jieba (MIT) segments and tags."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from probate.core.plugins import require
from probate.models.embedded import cache_dir
from probate.tasks.lexicons import lexicon
from probate.tasks.taggers.words import Forms

DEGREE = set("很 非常 十分 特别 太 最 更 真 挺 有点 比较 极其 相当".split())


@cache
def _jieba() -> Any:

    jieba: Any = require("jieba", "languages")
    posseg: Any = require("jieba.posseg", "languages")
    jieba.setLogLevel(logging.WARNING)
    words = jieba.Tokenizer()
    cache_dir().mkdir(parents=True, exist_ok=True)
    words.tmp_dir = str(
        cache_dir()
    )  # for its parsed dictionary; its own default is a folder that all users share
    tagger = posseg.POSTokenizer(words)
    tagger.initialize()
    for word in lexicon("zh"):
        words.add_word(word)  # so that 很狡猾 is two words; the tag stays the tagger's own
    return tagger


def adjectives(text: str) -> list[Forms]:
    """Return words tagged as adjectives, state words or set phrases, and words after an adverb of degree."""
    forms: list[Forms] = []
    before = ""
    for pair in _jieba().cut(text):
        if pair.word not in DEGREE and (pair.flag[0] in "aliz" or before in DEGREE):
            forms.append((pair.word,))
        before = pair.word
    return forms
