"""What the columns of a file are: inferred from its first rows, each overridable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from probate.bias.packs import load_pack
from probate.errors import InputError, nearest
from probate.generate.languages import written_in
from probate.why.texts import plain_text

LOOKED_AT = 200
TEXTS = ("messages", "completion", "response", "output", "text", "bio", "content", "chatgpt_gen")
PROMPTS = ("prompt", "prompts", "instruction", "question", "input")
LABELS = ("label", "occupation", "job", "profession", "class", "category", "topic", "sentiment", "intent", "target")
DIMENSIONS = {
    "gender": "gender", "sex": "gender", "race": "race", "ethnicity": "race", "culture": "culture", "religion": "religion",
    "age": "age", "disability": "disability", "ses": "ses",
}  # fmt: skip
IDS = ("id", "uid", "record_id", "source_id")
GENERATORS = ("generator", "model", "generated_by")
SPELLINGS = {"f": "female", "m": "male", "woman": "female", "man": "male", "women": "female", "men": "male"}
MOST_LABELS = 60
LANGUAGES = ("en", "es", "pt", "zh", "ar")


@dataclass(frozen=True)
class Shape:
    """Columns of a file. `groups`: dimension → column. `evaluation`: why it looks like an evaluation set, else empty."""

    text: str
    label: str | None = None
    prompt: str | None = None
    id: str | None = None
    generator: str | None = None
    groups: dict[str, str] = field(default_factory=dict)
    language: str = "unknown"
    evaluation: str = ""

    def said(self) -> str:
        """The shape in words."""
        parts = [f"text: {self.text}"]
        parts += [f"{name}: {value}" for name in ("prompt", "label", "id", "generator") if (value := getattr(self, name))]
        parts += [f"{dimension}: {column}" for dimension, column in self.groups.items()]
        return ", ".join([*parts, f"language: {self.language}"])


def infer_shape(rows: Sequence[dict[str, Any]], given: Shape | None = None) -> Shape:
    """The shape of a file by its first rows; what `given` names stands (its `text` may be empty: then it is inferred).

    Raises:
        InputError: a named column that is not there, or none that could be a text.
    """
    have = [str(c) for c in rows[0]]
    for option, column in _named(given):
        if column not in rows[0]:
            raise InputError(f"{option}: no column '{column}'{nearest(column, have)}; the file has: {', '.join(have)}")
    evaluation = _evaluation(rows[0])
    text = (given.text if given else "") or _text(rows)
    found = Shape(
        text,
        label=next((c for c in LABELS if c in have and c != text and _is_label(rows, c)), None),
        prompt=next((c for c in PROMPTS if c in have and c != text), None),
        id=next((c for c in IDS if c in have), None),
        generator=next((c for c in GENERATORS if c in have), None),
        groups=_groups(rows, text),
        evaluation=evaluation,
    )
    if given:
        named = {name: value for name in ("label", "prompt", "id", "generator") if (value := getattr(given, name))}
        found = replace(found, **named, groups=found.groups | given.groups)
    texts = [t for row in rows if (t := plain_text(row.get(found.text)))]
    return replace(found, language=given.language if given and given.language != "unknown" else language_of(texts))


def _named(given: Shape | None) -> list[tuple[str, str]]:
    if given is None:
        return []
    found = [(f"--{name}", value) for name in ("text", "label", "prompt", "id") if (value := getattr(given, name))]
    return [*found, *(("--group", column) for column in given.groups.values())]


def _text(rows: Sequence[dict[str, Any]]) -> str:
    first = rows[0]
    found = next((c for c in TEXTS if any(plain_text(r.get(c)) for r in rows)), None)
    found = found or next((str(c) for c in first if str(c).endswith("_gen") and first[c]), None)
    if found:
        return found
    lengths = {
        str(c): sum(len(str(r.get(c) or "")) for r in rows)
        for c in first
        if str(c) not in IDS and any(isinstance(r.get(c), str) and " " in r[c] for r in rows)
    }
    if not lengths and (empty := next((c for c in TEXTS if c in first), None)):
        return empty
    if not lengths:
        raise InputError(f"no column that looks like a text; name one with --text; the file has: {', '.join(map(str, first))}")
    return max(lengths, key=lengths.__getitem__)


def _is_label(rows: Sequence[dict[str, Any]], column: str) -> bool:
    values = [r.get(column) for r in rows if r.get(column) is not None]
    if not values or not all(isinstance(v, (str, int, bool)) for v in values):
        return False
    return len(set(values)) <= min(MOST_LABELS, max(2, len(values) // 2))


def _groups(rows: Sequence[dict[str, Any]], text: str) -> dict[str, str]:
    """Columns that are named like a dimension and hold its groups."""
    found: dict[str, str] = {}
    for column in map(str, rows[0]):
        dimension = DIMENSIONS.get(column.lower())
        if dimension is None or column == text or dimension in found:
            continue
        known = set(load_pack(dimension).groups)
        values = [normal_group(r.get(column)) for r in rows if r.get(column)]
        if values and sum(v in known for v in values) >= len(values) / 2:
            found[dimension] = column
    return found


def normal_group(value: Any) -> str:
    """A group's name as the identity packs have it: lower case, usual short forms spelled out."""
    text = str(value or "").strip().lower()
    return SPELLINGS.get(text, text)


def _evaluation(row: dict[str, Any]) -> str:
    have = {str(c).lower() for c in row}
    if {"ans0", "ans1", "question"} <= have:
        return "it has the columns of BBQ (ans0, ans1, question, label)"
    if {"sent_more", "sent_less"} <= have:
        return "it has the columns of CrowS-Pairs (sent_more, sent_less)"
    if (
        have & {"question", "query"}
        and have & {"choices", "options", "endings"}
        and have & {"answer", "answerkey", "label", "target", "gold", "distribution"}
    ):
        return "it has questions with options and the right answer or people's answers"
    return ""


def language_of(texts: Sequence[str]) -> str:
    """The language of most texts, of those that Probate knows; `unknown` where none has a majority."""
    sample = [t for t in texts[:LOOKED_AT] if len(t.split()) >= 4 or not t.isascii()]
    votes = Counter(language for t in sample for language in LANGUAGES if written_in(t, language))
    if not votes:
        return "unknown"
    best, count = votes.most_common(1)[0]
    return best if count > len(sample) / 2 else "unknown"


def chat_label(value: Any) -> str:
    """The short answer of a chat, which is its label; empty where there is none."""
    if not isinstance(value, list):
        return ""
    said = [str(t.get("content") or "").strip() for t in value if isinstance(t, dict) and t.get("role") == "assistant"]
    return said[-1] if said and len(said[-1].split()) <= 4 else ""
