"""Faults of a rendered prompt that a reader would see: articles, fields, languages, quotes, jobs."""

from __future__ import annotations

import re
from collections import Counter

from rendering import Prompt

from probate.tasks.occupations import is_occupation

ARABIC, HAN, LATIN = "[\u0600-\u06ff]", "[\u3400-\u9fff]", "[A-Za-zÀ-ɏ]"
STOPS = {
    "en": "the of and to a an is in what who that this with they some write read answer short or it are".split(),
    "es": "el la los las de que y en es un una lo por con se su del al sin como responde escribe lee este o".split(),
    "pt": "o os a as de que e em é um uma se do da ao não sem com esta por quê escreva leia à responda ou".split(),
}
"""Frequent words. Those that two languages share count for both."""
FIELDS = re.compile(
    r"\{\w*\}|%[sd]\b|\bNone\b|\bnan\b|\bNaN\b|\bnull\b|\bundefined\b|\bTODO\b|\bXXX\b|<\w+>|\[\]|\(\)|（）|N/A"
)
SPACES = re.compile(
    r"[^\S\n]{2,}|[^\S\n]+[.,;:!?،。，；：、？！)](?!\w)|[.。]{2}(?!\.)|[,;،，、]\s*[,;.،。，、]|[(（«“]\s|^[^\S\n]|[^\S\n]$",
    re.M,
)
TWICE = re.compile(r"\b(?!now\b)(\w+)[^\S\n]+\1\b", re.I)
HAN_TWICE = re.compile(r"([的了是在和与请])\1")
AN = re.compile(
    r"\b[aA] (?=[aeiouAEIOU])(?!(?i:uni(?![nm])|us[eu]|eu|one\b))|\b[aA]n (?!(?i:[aeiou]|hour|hono|heir)|[FHLMNRSX][A-Z])"
)
JOB = re.compile(r"^Job: (.+)$|\bworks? as an? ([a-z ]+?)(?:[.,;]| in\b| who\b| near\b|$)", re.M)
ROLE = re.compile(r"\bworks? as (?!an? )")
JOBS_LISTED = re.compile(r"the person's occupation\. Answer with exactly one of: (.+)\.$", re.M)
GENDERED = {
    "es": re.compile(
        r"\bun (?!\w*(?:a día|día|mapa|problema|idioma|tema)\b)\w+a\b|\buna (?!mano|foto|radio)\w+o\b", re.I
    ),
    "pt": re.compile(
        r"(?<!cada )\bum (?!dia|mapa|problema|idioma|tema)\w+a\b|\buma (?!mão|foto)\w+o\b(?<!ão)", re.I
    ),
}
MERGED = {
    "es": re.compile(r"\b(?:de|a) el\b(?! Cairo| \[MASK\])|\by (?=i|hi(?!e))|\bo (?=o|ho)", re.I),
    "pt": re.compile(r"\b(?:de|em|por) (?:o|os|as)\b|\bde a\b(?= \w+[ao]\b)|\ba (?:o|os)\b", re.I),
}
"""Words that must be written as one (del, al, do, no, pelo), and `y` or `o` before the same sound."""
PAIRS = ["“”", "«»", "「」", "《》", "()", "（）", "[]", "{}"]


def faults(prompt: Prompt) -> list[str]:
    """Return the faults of a prompt, in words; empty if none is found."""
    content = [text for role, text in prompt.messages if role != "assistant"]
    found = [fault for text in content for fault in _of_text(text, prompt.language)]
    found += _language(content, prompt)
    found += _jobs("\n".join(content), prompt)
    if any(not text.strip() for _, text in prompt.messages):
        found.append("an empty turn")
    if len(set(prompt.options)) < len(prompt.options):
        found.append("two equal options")
    return found


def _of_text(text: str, language: str) -> list[str]:
    found = [f"unfilled: {m[0]}" for m in FIELDS.finditer(text)]
    found += [f"spaces: {m[0]!r}" for m in SPACES.finditer(text)]
    found += [f"word twice: {m[0]}" for m in (*TWICE.finditer(text), *HAN_TWICE.finditer(text))]
    if language == "en":
        found += [f"article: {text[m.start() : m.end() + 8]}" for m in AN.finditer(text)]
        found += [f"no article: {text[m.start() : m.end() + 8]}" for m in ROLE.finditer(text)]
    for kind, patterns in (("gender", GENDERED), ("contraction", MERGED)):
        if language in patterns:
            found += [f"{kind}: {text[m.start() : m.end() + 4]}" for m in patterns[language].finditer(text)]
    found += [f"unbalanced {a}{b}" for a, b in PAIRS if text.count(a) != text.count(b)]
    return found + (['unbalanced "'] if text.count('"') % 2 else [])


def _language(content: list[str], prompt: Prompt) -> list[str]:
    """The instruction is in the language; all of the text is, unless it may be foreign."""
    if prompt.language == "any":
        return []
    found = []
    first = "\n".join(text.split("\n\n")[0] for text in content)
    for text in [first] if prompt.foreign else content:
        counts = {
            "ar": len(re.findall(ARABIC, text)), "zh": len(re.findall(HAN, text)), "latin": len(re.findall(LATIN, text)),
        }  # fmt: skip
        own = prompt.language if prompt.language in ("ar", "zh") else "latin"
        allowed = re.sub(r"\[MASK\]|TA|^[A-T](?:\.|：)", "", text, flags=re.M)
        if any(
            re.search(p, allowed) for k, p in {"ar": ARABIC, "zh": HAN, "latin": LATIN}.items() if k != own
        ):
            found.append(f"script: {counts}")
    if prompt.language in STOPS:
        words = re.findall(r"\w+", first.lower())
        hits = Counter({k: sum(w in own for w in words) for k, own in STOPS.items()})
        if hits[prompt.language] < 2 or hits[prompt.language] <= max(
            n for k, n in hits.items() if k != prompt.language
        ):
            found.append(f"language: {dict(hits)}")
    return found


def _jobs(text: str, prompt: Prompt) -> list[str]:
    if prompt.language != "en":
        return []
    named = [m[1] or m[2] for m in JOB.finditer(text)]
    named += [job for m in JOBS_LISTED.finditer(text) for job in m[1].split(", ")]
    found = [f"not a job: {job}" for job in (*named, *prompt.jobs) if not is_occupation(job)]
    for job in prompt.jobs:
        if re.search(rf"(?<!\ban )(?<!\ba )\b{re.escape(job)}\b", text):
            found.append(f"no article: {job}")
        if job not in text:
            found.append(f"the job is missing: {job}")
    return found
