"""Records (training examples), and their files on disk."""

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
"""Keys of a record's provenance that link records, by decreasing precedence."""
MEMBER = "@@"
"""Marker in an item's id, before '#'. Each marker is followed by the id of a member of the unit.

Units with a common member are not independent, such as two pairs that share a name.
"""


@dataclass(frozen=True)
class Record:
    """One training example.

    Attributes
    ----------
    id : str
        Unique id.
    text : str
        The text that a person wrote or a generator returned.
    label : str
        The label to learn.
    groups : dict of str to str
        Dimension → group, as in `{"gender": "female"}`.
    origin : {"original", "augmented"}
        Kind of data that the record belongs to.
    messages : tuple of dict
        Chat turns: the prompt, then the completion that is trained on. They are filled in when records are
        mixed.
    provenance : dict
        Where the record comes from: source and line, or model, prompt, seed, settings, filters passed, parent
        record, achieved bias strength.
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
        """Id of the item that a task derives from the record.

        It is `UNIT#ID`, or `ID` if the record belongs to no unit. The unit is the cluster, else the matched
        pair, else the parent record. Effects resample units.
        """
        unit = next((str(v) for key in LINKS if (v := self.provenance.get(key))), "")
        return f"{unit.replace('#', '/')}#{self.id}" if unit else self.id

    def with_provenance(self, **extra: Any) -> Record:
        """Return a copy with further entries in `provenance`."""
        return replace(self, provenance={**self.provenance, **extra})


def with_messages(records: Iterable[Record], prompt: str, labels: Sequence[str]) -> list[Record]:
    """Return the records with their chat turns.

    Parameters
    ----------
    records : iterable of Record
        The records. A `notice` in the provenance (of the mitigation `token`) is placed before the user turn,
        or is a system turn.
    prompt : str
        The user turn. `{text}` and `{labels}` are replaced.
    labels : sequence of str
        All labels, for `{labels}`. The completion is the record's label.

    Returns
    -------
    list of Record
        Copies with `messages`.
    """
    names = listed(labels)
    filled = []
    for r in records:
        turns = [
            {"role": "user", "content": fill(prompt, text=r.text, labels=names)},
            {"role": "assistant", "content": r.label},
        ]
        filled.append(replace(r, messages=tuple(with_notice(turns, r.provenance.get("notice")))))
    return filled


def with_notice(turns: Sequence[dict[str, Any]], notice: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return chat turns with a notice, either as a separate system turn or before the first user turn."""
    result = list(turns)
    if notice and notice["placement"] == "system":
        return [{"role": "system", "content": notice["text"]}, *result]
    first = next((i for i, turn in enumerate(result) if turn.get("role") == "user"), None)
    if notice and first is not None:
        result[first] = {**result[first], "content": after(notice["text"], result[first]["content"])}
    return result


def listed(words: Sequence[str]) -> str:
    """Return words as a list in running text, with the comma of their script (Latin, Arabic or Chinese)."""
    text = "".join(words)
    comma = (
        "、" if re.search("[\u3400-\u9fff]", text) else "، " if re.search("[\u0600-\u06ff]", text) else ", "
    )
    return comma.join(words)


def after(sentence: str, text: str) -> str:
    """Return a sentence and a text, with a space between them unless the sentence ends in Chinese."""
    return f"{sentence}{'' if sentence.endswith(('。', '！', '？', '：')) else ' '}{text}"


def fill(template: str, **values: str) -> str:
    """Replace each `{key}` in a template by its value. Braces inside values are not replaced."""
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), template)


FIELDS = {f.name for f in fields(Record)}
REQUIRED = {"id", "text", "label", "groups", "messages"}


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON Lines, atomically."""
    write_atomic(
        path, "".join(json.dumps(asdict(r), ensure_ascii=False, sort_keys=True) + "\n" for r in records)
    )


def read_records(path: Path) -> list[Record]:
    """Read the records of a file that `write_records` wrote.

    Raises
    ------
    InputError
        If a line is not a record. The message names the file and the line.
    """
    records = []
    for where, row in json_lines(path):
        if (
            not REQUIRED <= set(row) <= FIELDS
            or not isinstance(row["messages"], list)
            or not isinstance(row["groups"], dict)
        ):
            raise InputError(
                f"{where}: not a record with the fields {', '.join(sorted(REQUIRED))}; "
                "the file was changed, create it again"
            )
        row["messages"] = tuple(row["messages"])
        records.append(Record(**row))
    return records


def content_hash(records: Iterable[Record]) -> str:
    """Return the SHA-256 of the ids, texts, labels, groups, origins and notices of all records, in order."""
    digest = hashlib.sha256()
    for r in records:
        notice = [r.provenance["notice"]] if "notice" in r.provenance else []
        digest.update(
            json.dumps([r.id, r.text, r.label, sorted(r.groups.items()), r.origin, *notice]).encode()
        )
    return digest.hexdigest()


def stable_seed(identity: str, seed: int) -> int:
    """Return the seed of one text, derived from its id and the common seed: an integer in [0, 2³²)."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{identity}".encode()).digest()[:4], "big")


def stable_order(items: Iterable[str], *salt: object) -> list[str]:
    """Sort items by a hash of `salt` and the item.

    The order is random, and adding an item does not move others.
    """
    head = json.dumps([str(s) for s in salt])
    return sorted(items, key=lambda item: hashlib.sha256(f"{head}{item}".encode()).digest())
