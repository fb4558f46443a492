"""The record: one training example, and how it is written to disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from probate.core.errors import InputError
from probate.core.files import write_atomic
from probate.core.parse import json_lines

Origin = Literal["original", "augmented"]
LINKS = ("cluster", "pair", "parent")
"""What links records, in the order in which it counts."""
MEMBER = "@@"
"""In an item's id, before '#': after each of these stands who takes part. Units with a member in common are not independent, such as two pairs with one name."""


@dataclass(frozen=True)
class Record:
    """One example.

    `text` is what a person wrote or a generator answered; `messages` are the chat turns made from it (the prompt,
    then the completion that is trained on), filled in when the record is mixed. `groups` maps a dimension to a
    group. `provenance` says where the record comes from: source and line, or model, prompt, seed, settings,
    filters passed, parent record, achieved bias strength.
    """

    id: str
    text: str
    label: str
    groups: dict[str, str]
    origin: Origin = "original"
    messages: tuple[dict[str, str], ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def item_id(self) -> str:
        """The id of the item that a task makes of it: its own, after the unit that it was drawn with and '#', where it has one.

        The unit is the user's cluster, else the pair that it is matched in, else the record that it was made from. Effects resample units.
        """
        unit = next((str(v) for key in LINKS if (v := self.provenance.get(key))), "")
        return f"{unit.replace('#', '/')}#{self.id}" if unit else self.id

    def with_provenance(self, **extra: Any) -> Record:
        return replace(self, provenance={**self.provenance, **extra})


def with_messages(records: Iterable[Record], prompt: str, labels: Sequence[str]) -> list[Record]:
    """Fill in the chat turns: `prompt` with `{text}` and `{labels}` as user turn, the label as completion.

    A `notice` in the provenance (of the mitigation `token`) stands before the user turn, or is a system turn.
    """
    names = ", ".join(labels)
    found = []
    for r in records:
        turns = [
            {"role": "user", "content": fill(prompt, text=r.text, labels=names)},
            {"role": "assistant", "content": r.label},
        ]
        found.append(replace(r, messages=tuple(with_notice(turns, r.provenance.get("notice")))))
    return found


def with_notice(turns: Sequence[dict[str, Any]], notice: dict[str, str] | None) -> list[dict[str, Any]]:
    """Chat turns with a notice: as a system turn of its own, or before the first user turn."""
    found = list(turns)
    if notice and notice["placement"] == "system":
        return [{"role": "system", "content": notice["text"]}, *found]
    first = next((i for i, turn in enumerate(found) if turn.get("role") == "user"), None)
    if notice and first is not None:
        found[first] = {**found[first], "content": f"{notice['text']} {found[first]['content']}"}
    return found


def fill(template: str, **values: str) -> str:
    """Replace `{key}` by its value, once; braces inside values stay as they are."""

    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), template)


FIELDS = {f.name for f in fields(Record)}
REQUIRED = {"id", "text", "label", "groups", "messages"}


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object a line, atomically."""
    write_atomic(
        path, "".join(json.dumps(asdict(r), ensure_ascii=False, sort_keys=True) + "\n" for r in records)
    )


def read_records(path: Path) -> list[Record]:
    """Read what `write_records` wrote."""
    records = []
    for where, row in json_lines(path):
        if (
            not REQUIRED <= set(row) <= FIELDS
            or not isinstance(row["messages"], list)
            or not isinstance(row["groups"], dict)
        ):
            raise InputError(
                f"{where}: not a record with the fields {', '.join(sorted(REQUIRED))}; the file was changed, make it again"
            )
        row["messages"] = tuple(row["messages"])
        records.append(Record(**row))
    return records


def content_hash(records: Iterable[Record]) -> str:
    """SHA-256 over ids, texts, labels, groups, origins and notices, in order."""
    digest = hashlib.sha256()
    for r in records:
        notice = [r.provenance["notice"]] if "notice" in r.provenance else []
        digest.update(
            json.dumps([r.id, r.text, r.label, sorted(r.groups.items()), r.origin, *notice]).encode()
        )
    return digest.hexdigest()


def stable_seed(identity: str, seed: int) -> int:
    """A seed of its own for each text that is drawn, from its id and the seed of all, in [0, 2³²)."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{identity}".encode()).digest()[:4], "big")


def stable_order(items: Iterable[str], *salt: object) -> list[str]:
    """`items` in an order that depends on `salt` and each item alone: adding one does not move the others."""
    head = json.dumps([str(s) for s in salt])
    return sorted(items, key=lambda item: hashlib.sha256(f"{head}{item}".encode()).digest())
