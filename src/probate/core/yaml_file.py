"""The one reader of YAML: bounded, no key twice, each fault one sentence with its line."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from probate.core.errors import InputError
from probate.core.inputs import read_bounded

LARGEST = 4 * 1024 * 1024
"""Bytes of a YAML file."""
DEEPEST = 64
"""Levels of nesting."""
REPEATED = 10_000
"""Values that aliases may add to those that are written out."""
LONGEST_NUMBER = 100
"""Characters of a number."""
Lines = dict[tuple[str | int, ...], str]
"""Key path → `file:line`."""
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MERGE = "tag:yaml.org,2002:merge"


def _fault(problem: str, node: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class Bounded(yaml.SafeLoader):
    """YAML that is refused before it grows: nesting, aliases, numbers; keys are words, and none stands twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise _fault(f"nested deeper than {DEEPEST} levels", self.peek_event())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
            raise _fault(f"a number of more than {LONGEST_NUMBER} characters", node)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
            kind = node.tag.rsplit(":", 1)[-1]
            raise _fault(
                f"'{str(node.value)[:40]}' is no {kind}; write it in quotes if it is a text", node
            ) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _fault("no mapping of keys to values, as its tag says", node)
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _fault(f"key '{str(key)[:40]}' is no text; write it in quotes", key_node)
            if key in seen:
                raise _fault(f"key '{key}' stands there twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Meant(Bounded):
    """YAML as people mean it: 1e-5 is a number; on, off, yes and no are words (OFF is a label of many sets)."""


_Meant.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if first in "tTfF" or not tag.endswith(":bool")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Meant.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _expanded(node: Any, sizes: dict[int, int | None]) -> int:
    """How many values `node` is with its aliases written out; `sizes`: by node, None for one that is being counted."""
    if id(node) in sizes:
        size = sizes[id(node)]
        if size is None:
            raise _fault("an alias of a value that it stands in", node)
        return size
    sizes[id(node)] = None
    inner = node.value if isinstance(node, yaml.CollectionNode) else []
    parts = [part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,))]
    sizes[id(node)] = found = 1 + sum(_expanded(part, sizes) for part in parts)
    return found


def meant(text: str) -> Any:
    """The value of a text of YAML as people mean it; the text itself where it is none."""
    try:
        return parsed(text)[0]
    except yaml.YAMLError:
        return text


def parsed(text: str, loader: type[Bounded] = _Meant) -> tuple[Any, Any]:
    """The value of a text of YAML, and its node; raises yaml.YAMLError."""
    made = loader(text)
    try:
        node = made.get_single_node()
        if node is None:
            return None, None
        sizes: dict[int, int | None] = {}
        if _expanded(node, sizes) - len(sizes) > REPEATED:
            raise _fault(f"its aliases repeat more than {REPEATED:,} values; write fewer", node)
        return made.construct_document(node), node
    finally:
        made.dispose()


def read_dumped(path: Path, text: str) -> Any:
    """The value of `text`, which stood in `path` and was written by `yaml.safe_dump`: a text such as 1e5 stands there without quotes.

    Raises:
        InputError: see `read_yaml`.
    """
    return _value(text, Bounded, str(path))[0]


def _value(text: str, loader: type[Bounded], place: str) -> tuple[Any, Any]:
    try:
        return parsed(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(
            f"{place}{line}: not valid YAML: {', '.join(filter(None, (error.context, error.problem)))}"
        ) from None
    except yaml.reader.ReaderError as error:
        line = f":{text.count(chr(10), 0, int(error.position)) + 1}"
        raise InputError(
            f"{place}{line}: not valid YAML: a character that is not allowed (U+{int(error.character):04X})"
        ) from None


def read_yaml(path: Path, where: str = "") -> tuple[Any, Lines]:
    """The file's value, and where each key path stands (`file:line`). `where` is said in place of the path.

    Raises:
        InputError: unreadable, not UTF-8, out of bounds, or not YAML (with the line).
    """
    value, node = _value(read_bounded(path, LARGEST, where), _Meant, where or str(path))
    lines: Lines = {}
    _collect_lines(node, (), lines, path)
    return value, lines


def own_yaml(*parts: str) -> Any:
    """The value of a YAML file that ships with Probate."""
    return parsed(files("probate").joinpath(*parts).read_text(encoding="utf-8"))[0]


def _collect_lines(node: Any, key: tuple[str | int, ...], lines: Lines, file: Path) -> None:
    inner: list[tuple[Any, Any, Any]] = []
    if isinstance(node, yaml.MappingNode):
        inner = [(name.value, name.start_mark, value) for name, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inner = [(index, value.start_mark, value) for index, value in enumerate(node.value)]
    for name, mark, value in inner:
        lines[(*key, name)] = f"{file}:{mark.line + 1}"
        _collect_lines(value, (*key, name), lines, file)
