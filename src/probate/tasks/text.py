"""Text classification: the common code of tasks that are one YAML file each."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from probate.core.errors import InputError, nearest, some
from probate.core.records import fill, listed, stable_order
from probate.core.yaml_file import read_yaml
from probate.data.packs import Pack, load_pack
from probate.data.rows import source_rows
from probate.stats.measure import Measure, by_group, everyone, frame, labels_frame
from probate.tasks.base import Options, TaskContext
from probate.tasks.choice import ChoiceOptions, ChoiceTask, Item


class Wording(BaseModel):
    """The prompt and label words of a task in one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    prompt: str = Field(description="User turn with {text} and {labels}.")
    labels: dict[str, str] = Field(description="Label → the words that are scored.")

    @model_validator(mode="after")
    def _labels_differ(self) -> Wording:
        seen: dict[str, str] = {}
        for label, words in self.labels.items():
            same = seen.setdefault(" ".join(words.lower().split()), label)
            if same != label:
                raise ValueError(
                    f"the labels '{same}' and '{label}' have the same words, apart from case and spaces"
                )
        if "{text}" not in self.prompt:
            raise ValueError("the prompt must contain {text}")
        return self


class TextSpec(BaseModel):
    """The YAML file of a text classification task."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    relation: Literal["direct", "indirect"]
    source: str
    positive: str = Field(description="The label whose share is compared between groups.")
    languages: dict[str, Wording] = Field(min_length=1)
    items: dict[str, list[str]] = Field(
        description="Label → texts with {who}, filled in with each group in turn."
    )

    @model_validator(mode="after")
    def _fits(self) -> TextSpec:
        for language, wording in self.languages.items():
            if set(wording.labels) != set(self.items):
                raise ValueError(
                    f"languages.{language}.labels must be the labels of the items: {', '.join(self.items)}"
                )
        if self.positive not in self.items:
            raise ValueError(f"positive: '{self.positive}' is not a label; labels: {', '.join(self.items)}")
        if len(self.items) < 2:
            raise ValueError("items: a classification needs at least two labels")
        empty = [
            label for label, texts in self.items.items() if not texts or not all(t.strip() for t in texts)
        ]
        if empty:
            raise ValueError(f"items.{empty[0]}: an item is empty")
        return self


class TextColumns(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str = Field("text", description="Column of the text.")
    label: str = Field("label", description="Column of the label.")
    id: str | None = Field(None, description="Column of a unique id.")
    cluster: str | None = Field(
        None,
        description="Column of the cluster that texts were drawn in (an author, a source). "
        "A cluster is one unit of resampling.",
    )
    groups: dict[str, str] = Field(default_factory=dict, description="Dimension → column of the group.")


class TextOptions(ChoiceOptions):
    data: str | None = Field(
        None,
        description="A data set that replaces the bundled items: a file, a `datasets` folder or `hf:ID` "
        "(see data.source).",
    )
    split: str = Field("test", description="Split of a Hugging Face data set.")
    columns: TextColumns = Field(default_factory=lambda: TextColumns(), description="Names of the columns.")
    labels: dict[str, str] = Field(
        default_factory=dict, description="Label in the data → the task's label (offensive, fine, …)."
    )
    relation: Literal["direct", "indirect"] | None = Field(
        None, description="Overrides the task's relation to the bias."
    )
    language: str = Field(
        "en", description="Language of the prompt and the label words; the bundled items are in English."
    )
    words: dict[str, str] = Field(
        default_factory=dict,
        description="The task's label → words that are scored instead of the task's words.",
    )
    prompt: str | None = Field(
        None, description="User turn that replaces the task's own, with {text} and {labels}."
    )
    dimension: str | None = Field(
        None,
        description="Dimension to compare instead of the study's: the name of an identity pack, "
        "or a key of `columns.groups`.",
    )
    groups: list[str] | None = Field(
        None,
        min_length=2,
        description="The groups of `dimension` that are compared; default: all groups of its pack.",
    )
    limit: int | None = Field(
        None, ge=2, description="Maximum number of items, balanced over the labels (a seeded sample)."
    )

    @field_validator("prompt")
    @classmethod
    def _has_text(cls, value: str | None) -> str | None:
        if value is not None and "{text}" not in value:
            raise ValueError("must contain {text}")
        return value


class TextTask(ChoiceTask):
    """Text classification of the bundled items, or of a data set.

    The bundled items have a placeholder for a person. It is filled in with each compared group in turn (a
    name if the identity pack has names, else its words), so that items form matched sets that differ only in
    the group. The primary measure is then the share classified as the positive label, by group. For a data
    set without groups it is macro-F1, in [0, 1], higher is better.
    """

    name = "text"
    title = "Text classification"
    metric = "macro_f1"
    better = "higher"
    relation = "direct"
    source = "a data set of the user"
    option_type: ClassVar[type[Options]] = TextOptions
    spec: ClassVar[TextSpec]

    def _seen(self, context: TaskContext) -> TaskContext:
        """Return the context with the dimension that the options name."""
        other = self.options.dimension
        if other is None:
            if self.options.groups:
                raise InputError(
                    f"tasks: {self.key}.options.groups needs options.dimension; set it, "
                    "or set the study's groups in bias.groups"
                )
            return context
        pack = load_pack(other)
        groups = self.options.groups or list(pack.groups)
        unknown = [g for g in groups if g not in pack.groups]
        if unknown:
            raise InputError(
                f"tasks: {self.key}.options.groups: '{unknown[0]}' is not in the identity pack '{other}'; "
                f"its groups: {', '.join(pack.groups)}"
            )
        return replace(context, dimension=other, groups=groups, pack=pack)

    def _grouped(self, context: TaskContext) -> bool:
        return self.options.data is None or context.dimension in self.options.columns.groups

    def _wording(self) -> Wording:
        own = self.spec.languages
        language = self.options.language
        if language not in own:
            raise InputError(
                f"tasks: {self.key}.options.language: the task has no prompt in '{language}'"
                f"{nearest(language, list(own))}; languages: {', '.join(own)}. "
                "For another language, set options.prompt and options.words"
            )
        wording = own[language]
        words = {**wording.labels, **self.options.words}
        unknown = set(words) - set(wording.labels)
        if unknown:
            raise InputError(
                f"tasks: {self.key}.options.words: no label '{min(unknown)}'; "
                f"labels: {', '.join(wording.labels)}"
            )
        try:
            return Wording(prompt=self.options.prompt or wording.prompt, labels=words)
        except ValidationError as error:
            raise InputError(f"tasks: {self.key}.options: {first_error(error)}") from None

    def items(self, context: TaskContext) -> list[Item]:
        context = self._seen(context)
        wording = self._wording()
        names = tuple(self.spec.items)
        words = tuple(wording.labels[n] for n in names)
        options = listed(words)
        blank = fill(wording.prompt, text="N/A", labels=options)
        rows = self._read(context) if self.options.data else self._bundled(context)
        return [
            Item(
                key,
                fill(wording.prompt, text=text, labels=options),
                words,
                names,
                label,
                groups,
                blank,
                language=self.options.language,
            )
            for key, text, label, groups in rows
        ]

    def _bundled(self, context: TaskContext) -> list[tuple[str, str, str, dict[str, str]]]:
        pack = context.pack or load_pack(context.dimension)
        rows = []
        for label, texts in self.spec.items.items():
            kept = texts[: -(-self.options.limit // len(self.spec.items))] if self.options.limit else texts
            for number, text in enumerate(kept):
                for place, group in enumerate(context.groups):
                    filled = fill(text, who=who(pack, group, number))
                    rows.append(
                        (
                            f"{label}-{number:02d}#{place}",
                            filled[:1].upper() + filled[1:],
                            label,
                            {context.dimension: group},
                        )
                    )
        return rows

    def _read(self, context: TaskContext) -> list[tuple[str, str, str, dict[str, str]]]:
        options = self.options
        rows, rejected = read_labelled(
            options.data, options.split, options.columns, options.labels, tuple(self.spec.items), context.base
        )
        if not rows:
            raise InputError(
                f"tasks: {self.key}: {options.data}: no row can be used; "
                f"first reason: {rejected[0] if rejected else 'the file has no rows'}"
            )
        if rejected and len(rejected) > len(rows):
            raise InputError(
                f"tasks: {self.key}: {options.data}: {len(rejected)} of {len(rejected) + len(rows)} rows "
                f"cannot be used; first reason: {rejected[0]}"
            )
        if options.limit and options.limit < len(rows):
            rows = _balanced(rows, options.limit, context.seed)
        return rows

    def measures(self, context: TaskContext) -> list[Measure]:
        context = self._seen(context)
        positive = self.spec.positive
        grouped = self._grouped(context)
        measures = []
        if grouped:
            side = by_group(context.dimension, context.groups)
            groups = tuple(context.groups)
            measures = [
                Measure(
                    name="flagged",
                    title=f"share read as {positive}",
                    unit="share",
                    toward=lambda a, b: (
                        f"texts about {a} are read more often as {positive} than those about {b}"
                    ),
                    sides=groups,
                    values=lambda o: frame(o, side(o), (o["prediction"] == positive).astype(float)),
                    primary=True,
                ),
                Measure(
                    name="accuracy",
                    title="accuracy",
                    unit="share",
                    toward=lambda a, b: (
                        f"texts about {a} are classified more accurately than those about {b}"
                    ),
                    sides=groups,
                    values=lambda o: frame(o, side(o), o["score"]),
                    better="higher",
                ),
            ]
        return [
            *measures,
            Measure(
                name="macro_f1",
                title="macro-F1",
                unit="share",
                sides=("all",),
                values=lambda o: labels_frame(o, everyone(o)),
                primary=not grouped,
                better="higher",
                statistic="macro_f1",
            ),
        ]


def who(pack: Pack, group: str, number: int) -> str:
    """Return a person of the group for item `number`: a first name if the pack has names, else its words with
    'the'.
    """
    spec = pack.groups[group]
    if spec.names:
        return spec.names[number % len(spec.names)]
    head, _, rest = spec.noun.partition(" ")
    return f"the {rest}" if head in ("a", "an") else spec.noun


def read_labelled(
    data: str, split: str, columns: TextColumns, mapping: dict[str, str], labels: tuple[str, ...], base: Path
) -> tuple[list[tuple[str, str, str, dict[str, str]]], list[str]]:
    """Read the rows of a labelled data set.

    Parameters
    ----------
    data, split : str
        The data set and its split.
    columns : TextColumns
        Names of the columns.
    mapping : dict
        Label in the data → label of the task; may be empty.
    labels : tuple of str
        Labels of the task.
    base : pathlib.Path
        Folder that relative paths start from.

    Returns
    -------
    tuple of (list, list of str)
        (id, text, label, groups) of each usable row, and why other rows are not usable.

    Raises
    ------
    InputError
        A missing file or column, or an unknown label.
    """

    unknown = sorted(set(mapping.values()) - set(labels))
    if unknown:
        raise InputError(
            f"{data}: labels: '{unknown[0]}' is not a label of the task; labels: {', '.join(labels)}"
        )
    rows, rejected, seen = [], [], set()
    for number, (where, row) in enumerate(source_rows(data, split, base), 1):
        if isinstance(row, str):
            rejected.append(f"{where}: {row}")
            continue
        for column in filter(None, (columns.text, columns.label, columns.cluster, *columns.groups.values())):
            if column not in row:
                raise InputError(
                    f"{where}: no column '{column}'{nearest(column, list(row))}; the file has: {some(row)}"
                )
        text = str(row[columns.text] if row[columns.text] is not None else "").strip()
        raw = str(row[columns.label]).strip()
        label = mapping.get(raw, raw if raw in labels and not mapping else None)
        key = str(row[columns.id]) if columns.id and row.get(columns.id) is not None else f"row-{number}"
        if label is None:
            raise InputError(
                f"{where}: the task has no label '{raw}'; "
                f"map it in options.labels to one of: {', '.join(labels)}"
            )
        if not text:
            rejected.append(f"{where}: the text is empty")
        elif key in seen:
            rejected.append(f"{where}: id '{key}' is duplicated")
        else:
            seen.add(key)
            unit = (
                str(row[columns.cluster]).strip().replace("#", "_")
                if columns.cluster and row[columns.cluster] is not None
                else ""
            )
            item = f"{unit}#{key.replace('#', '_')}" if unit else key.replace("#", "_")
            rows.append(
                (item, text, label, {d: str(row[c]) for d, c in columns.groups.items()} or {"set": "all"})
            )
    return rows, rejected


def _balanced(rows: list[Any], limit: int, seed: int) -> list[Any]:
    """Return `limit` rows, taken from the labels in turn."""
    by_label: dict[str, list[Any]] = {}
    for row in rows:
        by_label.setdefault(row[2], []).append(row)
    queues = []
    for members in by_label.values():
        known = {row[0]: row for row in members}
        queues.append([known[k] for k in stable_order(known, "limit", seed)])
    chosen = [row for turn in range(limit) for queue in queues if turn < len(queue) for row in [queue[turn]]]
    return chosen[:limit]


def first_error(error: ValidationError) -> str:
    """Return the first error of a validation with its location."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    text = first["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


@cache
def text_task(name: str, path: Path) -> type[TextTask]:
    """Return the task class of a YAML file.

    Raises
    ------
    InputError
        The file is not valid; the message names the error.
    """
    try:
        spec = TextSpec.model_validate(read_yaml(path)[0])
    except ValidationError as error:
        raise InputError(f"task '{name}' ({path.name}): {first_error(error)}") from None
    body = {
        "name": name, "title": spec.title, "relation": spec.relation, "source": spec.source,
        "languages": tuple(spec.languages), "spec": spec, "__doc__": TextTask.__doc__,
    }  # fmt: skip
    return type(f"TextTask_{name}", (TextTask,), body)
