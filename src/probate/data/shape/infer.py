"""Inference of the columns of a file, in the same order for every command.

The first of these that applies is the text:

1. The column that the user names.
2. The better answer of a preference pair (`chosen`, `rejected`).
3. A chat (`messages`, `conversations`, or the only column with chats).
4. A response (`completion`, `response`, `output` …), with its prompt.
5. A column called `text`, then one with another usual name (`bio`, `content` …).
6. The only column that contains sentences.
7. A prompt without a response.

Length never decides. Ids, hashes, labels, groups and dates are never the text. If two columns match at the
same step, the user has to name one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from probate.core.errors import InputError, nearest, some
from probate.data.packs import dimension_columns
from probate.data.shape.cells import normal_label, opened, plain
from probate.data.shape.chat import chat_turns, is_chat
from probate.data.shape.columns import column_values
from probate.data.shape.language import language_of
from probate.data.shape.names import (
    CHATS,
    GENERATORS,
    IDS,
    INSTRUCTIONS,
    LABELS,
    PAIRS,
    PROMPTS,
    RESPONSES,
    ROLES,
    SYSTEMS,
    TEXTS,
    key_of,
)  # fmt: skip
from probate.data.shape.shape import Given, Shape

Cells = tuple[tuple[str, str], ...]
FEW = 10
"""Maximum number of values that are too few to judge how often they repeat."""
LETTERS = re.compile(r"[^\W\d_]+")
CODE = re.compile(r"[0-9a-fA-F-]{16,}|\d+")


def infer_shape(
    rows: Sequence[Mapping[str, Any]], given: Given | None = None, option: str = "--text"
) -> Shape:
    """Infer the shape of a file.

    Parameters
    ----------
    rows : sequence of mapping
        The first rows of the file, and later ones that have further columns.
    given : Given, optional
        Columns that the user names.
    option : str
        Name of the option or field that sets the text column, for error messages.

    Returns
    -------
    Shape
        The columns and their roles.

    Raises
    ------
    InputError
        If a named column is missing, no column can be the text, or two columns are equally likely.
    """
    given = given or Given()
    columns = column_values(rows)
    _check_named(given, columns, option)
    named = {given.label, given.prompt, given.id, given.generator, *given.groups.values()} - {
        None,
        given.text,
    }
    free = _Columns({c: v for c, v in columns.items() if c not in named})
    form, text, cells = _texts(free, given, option, list(columns))
    if given.prompt and given.prompt not in dict(cells):
        cells = ((given.prompt, "user"), *cells)
    taken = {c for c, _ in cells} | named
    rest = _Columns({c: v for c, v in columns.items() if c not in taken})
    dimensions = dimension_columns()
    groups = {
        dimensions[key_of(c)]: c
        for c in reversed(list(rest.values))
        if key_of(c) in dimensions and rest.is_scalar(c)
    }
    groups = {k: v for k, v in reversed(groups.items()) if k not in given.groups} | given.groups
    label = given.label or next((c for c in rest.named(LABELS) if rest.repeats(c)), None)
    shape = Shape(
        form,
        text,
        label=label,
        prompt=given.prompt
        or next((c for c, role in cells if role in ("user", "instruction") and c != text), None),
        id=given.id or next(iter(rest.named(IDS)), None),
        generator=given.generator or next(iter(rest.named(GENERATORS)), None),
        groups=groups,
        evaluation=_evaluation({key_of(c) for c in columns}),
        cells=cells,
    )
    shape = replace(shape, answers=form != "preference pairs" and _answers(shape, rows))
    if shape.answers and shape.prompt and not free.has_chat(text) and not given.text:
        asked = [c for c, role in cells if role in ("user", "instruction")]
        shape = replace(
            shape, form="question and short answer", text=asked[-1], label=label or text, prompt=None
        )
    shape = replace(shape, unread=tuple(_unread(rest, shape)))
    texts = [t for row in rows if (t := shape.text_of(row))]
    return replace(shape, language=given.language or language_of(texts))


class _Columns:
    """Columns with their values, and checks of what the values are."""

    def __init__(self, values: dict[str, list[Any]]) -> None:
        self.values = {
            c: [v for v in own if v is not None and v == v and v != ""] for c, own in values.items()
        }

    def named(self, names: Iterable[str]) -> list[str]:
        """Return the columns with one of these names, in the order of the names; nested columns come last."""
        order = {name: i for i, name in enumerate(names)}
        known = [c for c in self.values if key_of(c) in order]
        return sorted(known, key=lambda c: (order[key_of(c)], _depth(c)))

    def has_chat(self, column: str) -> bool:
        return any(is_chat(v) for v in self.values[column])

    def has_known_roles(self, column: str) -> bool:
        """Check whether the column holds chats with known roles, so that its name does not matter."""
        chats = [v for v in self.values[column] if is_chat(v)]
        return bool(chats) and all(role in ROLES.values() for v in chats[:FEW] for role, *_ in chat_turns(v))

    def is_scalar(self, column: str) -> bool:
        return not any(isinstance(opened(v), (list, dict)) for v in self.values[column])

    def has_text(self, column: str) -> bool:
        """Check whether the column holds texts or chats, and not only numbers and codes."""
        own = self.values[column]
        return any(
            is_chat(v) or (isinstance(v, (str, bytes)) and not CODE.fullmatch(plain(v).strip())) for v in own
        )

    def repeats(self, column: str) -> bool:
        """Check whether most values occur more than once, as labels do."""
        return (
            bool(self.values[column])
            and self.is_scalar(column)
            and _repeat([normal_label(v) for v in self.values[column]])
        )

    def is_prose(self, column: str) -> bool:
        """Check whether most values are sentences: different texts of at least three words."""
        key, own = key_of(column), self.values[column]
        if (
            not own
            or key in IDS
            or key in dimension_columns()
            or key in SYSTEMS
            or not all(isinstance(v, (str, bytes)) for v in own)
        ):
            return False
        many = [w for v in own if (w := _words(plain(v))) >= 3]
        return len(many) * 2 >= len(own) and (len(own) <= FEW or not self.repeats(column))


def _texts(columns: _Columns, given: Given, option: str, have: Sequence[str]) -> tuple[str, str, Cells]:
    """Return the form, the text column and the cells of a file."""
    asked = [c for c in columns.named(PROMPTS) if columns.has_text(c) and c != given.text]
    system = [(c, "system") for c in columns.named(SYSTEMS) if columns.has_text(c) and c != given.text]
    prompts = [(c, "instruction" if key_of(c) in INSTRUCTIONS else "user") for c in asked]
    usual = [c for c in columns.named(TEXTS) if columns.has_text(c) and c != given.text]
    also = [(c, "text") for c in usual]

    def cells(*own: tuple[str, str]) -> Cells:
        return tuple(dict([*system, *prompts, *own]).items())

    if given.text:
        return _named_text(columns, given.text, bool(prompts), cells, also)
    pairs = _pairs(columns)
    if pairs:
        before = [(c, "user") for c in columns.named(CHATS) if columns.has_chat(c)]
        return "preference pairs", pairs[0][0], cells(*before, *((c, "assistant") for c in pairs[0]), *also)
    chats = [c for c in columns.named(CHATS) if columns.has_chat(c)]
    chats = chats or [c for c in columns.values if columns.has_known_roles(c) and c not in asked]
    if chats:
        chat = _only(chats, option)
        return _chat_form(columns, chat), chat, cells((chat, "assistant"), *also)
    named = [c for c in columns.values if key_of(c) in RESPONSES or key_of(c).endswith("_gen")]
    responses = [c for c in named if columns.has_text(c)]
    sentences = [
        c
        for c in columns.values
        if c not in (*asked, *named) and key_of(c) not in LABELS and columns.is_prose(c)
    ]
    if responses:
        response = _only(responses, option)
        if prompts:
            alpaca = key_of(response) == "output" and "instruction" in dict(prompts).values()
            return (
                "Alpaca" if alpaca else "prompt and response",
                response,
                cells((response, "assistant"), *also),
            )
        before = [(c, "user") for c in usual]
        if not before and sentences and not columns.is_prose(response):
            before = [(_only(sentences, option), "user")]
        if before:
            return "prompt and response", response, cells(*before, (response, "assistant"))
        return "text", response, cells((response, "text"))
    texts = [c for c in usual if key_of(c) == "text"] or usual or sentences
    if texts:
        text = _only([c for c in texts if _depth(c) == min(map(_depth, texts))], option)
        own = (text, "assistant" if prompts else "text")
        return (
            "prompt and text" if prompts else "text",
            text,
            cells(*(own if c == text else (c, "text") for c in (*usual, text))),
        )
    if asked:
        return "text", next((c for c in reversed(asked) if not columns.repeats(c)), asked[-1]), cells()
    weak = [c for c in columns.named((*CHATS, *RESPONSES, *TEXTS)) if not columns.values[c]][:1]
    weak = weak or [c for c in columns.values if key_of(c) not in LABELS and _weak(columns, c)]
    if not weak:
        raise InputError(
            f"no column that looks like a text; name one with {option}; the file has: {some(have)}"
        )
    return "text", (text := _only(weak, option)), cells((text, "text"))


def _named_text(
    columns: _Columns, text: str, prompted: bool, cells: Callable[..., Cells], also: Sequence[tuple[str, str]]
) -> tuple[str, str, Cells]:
    if columns.has_chat(text):
        return _chat_form(columns, text), text, cells((text, "assistant"), *also)
    pair = next((p for p in _pairs(columns) if p[0] == text), None)
    if pair:
        return "preference pairs", text, cells(*((c, "assistant") for c in pair), *also)
    if key_of(text) in PROMPTS:
        return "text", text, cells((text, "user"))
    return (
        ("prompt and response", text, cells((text, "assistant"), *also))
        if prompted
        else ("text", text, cells((text, "text"), *also))
    )


def _depth(column: str) -> int:
    return column.count(".")


def _chat_form(columns: _Columns, column: str) -> str:
    first = next(opened(v) for v in columns.values[column] if is_chat(v))
    turn = first[0] if isinstance(first, list) else first
    return "ShareGPT" if "from" in turn and "role" not in turn else "chats"


def _pairs(columns: _Columns) -> list[tuple[str, str]]:
    by_key = {key_of(c): c for c in columns.values if columns.has_text(c)}
    return [(by_key[a], by_key[b]) for a, b in PAIRS if a in by_key and b in by_key]


def _weak(columns: _Columns, column: str) -> bool:
    own, key = columns.values[column], key_of(column)
    known = (*IDS, *SYSTEMS, *dimension_columns())
    if key in known or not all(isinstance(v, (str, bytes)) for v in own):
        return False
    return any(_words(plain(v)) >= 2 for v in own) and (len(own) <= FEW or not columns.repeats(column))


def _only(columns: Sequence[str], option: str) -> str:
    if len(columns) > 1:
        names = " and ".join(f"'{c}'" for c in columns[:2])
        raise InputError(f"columns {names} could both be the text; name one with {option}")
    return columns[0]


def _words(text: str) -> int:
    """Count the words; Chinese has no spaces, so two of its characters count as a word."""
    return len(LETTERS.findall(text)) + sum("\u3400" <= c <= "\u9fff" for c in text) // 2


def _repeat(values: Sequence[str]) -> bool:
    counts = Counter(values)
    return len(values) <= FEW or sum(n for n in counts.values() if n > 1) * 2 >= len(values)


def _answers(shape: Shape, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Check whether most last answers are short and repeat, as labels do."""
    tried = replace(shape, answers=True, label=None)
    answers = [[t for t in tried.turns_of(row) if t.role == "assistant" and t.text.strip()] for row in rows]
    answered = [own for own in answers if own]
    short = [normal_label(own[-1].text) for own in answered if own[-1].kept]
    return bool(short) and len(short) * 2 >= len(answered) and _repeat(short)


def _unread(rest: _Columns, shape: Shape) -> Iterable[tuple[str, str]]:
    """Yield the kind of each column that looks like a text or a label and is not read, and the reason."""
    for column in rest.values:
        if column in (shape.label, shape.id, shape.generator) or column in shape.groups.values():
            continue
        if rest.is_prose(column) or rest.has_known_roles(column):
            yield "text", f"column '{column}' also holds texts, but is not read"
        elif not shape.label and not shape.answers and key_of(column) == "label" and rest.values[column]:
            why = "its values differ from row to row" if rest.is_scalar(column) else "it holds lists"
            yield "label", f"column '{column}' is not read as the label: {why}"


def _check_named(given: Given, columns: Mapping[str, Any], option: str) -> None:
    head, _, tail = option.rpartition("text")
    named = [
        (f"{head}{name}{tail}", getattr(given, name))
        for name in ("text", "label", "prompt", "id", "generator")
    ]
    for where, column in [*named, *(("--group", c) for c in given.groups.values())]:
        if column and column not in columns:
            have = [str(c) for c in columns]
            raise InputError(
                f"{where}: no column '{column}'{nearest(column, have)}; the file has: {some(have)}"
            )


def _evaluation(have: set[str]) -> str:
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
