"""Reading YAML files.

Size and nesting are limited, and keys must be unique. Each error is one sentence with its line.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from probate.core.errors import InputError
from probate.core.inputs import read_bounded

LARGEST = 4 * 1024 * 1024
"""Maximum size of a YAML file, in bytes."""
DEEPEST = 64
"""Maximum number of levels of nesting."""
REPEATED = 10_000
"""Maximum number of values that aliases may repeat."""
LONGEST_NUMBER = 100
"""Maximum number of characters of a number."""
Lines = dict[tuple[str | int, ...], str]
"""Key path → `file:line`."""
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MERGE = "tag:yaml.org,2002:merge"


def _fault(problem: str, node: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class BoundedLoader(yaml.SafeLoader):
    """A YAML loader with limits on nesting, aliases and numbers. Keys must be strings and unique."""

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
                f"'{str(node.value)[:40]}' is not a valid {kind}; write it in quotes if it is a text", node
            ) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _fault("not a mapping of keys to values, although its tag says so", node)
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _fault(f"key '{str(key)[:40]}' is not a string; write it in quotes", key_node)
            if key in seen:
                raise _fault(f"key '{key}' is duplicated; remove one", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _StudyLoader(BoundedLoader):
    """A YAML loader for study files.

    1e-5 is a number; on, off, yes and no are strings (OFF is a common label).
    """


_StudyLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if first in "tTfF" or not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StudyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _expanded(node: Any, sizes: dict[int, int | None]) -> int:
    """Return the number of values of `node` with its aliases expanded.

    `sizes` holds the results by node; None marks a node that is being counted.
    """
    if id(node) in sizes:
        size = sizes[id(node)]
        if size is None:
            raise _fault("an alias refers to a value that contains it", node)
        return size
    sizes[id(node)] = None
    inner = node.value if isinstance(node, yaml.CollectionNode) else []
    parts = [part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,))]
    total = 1 + sum(_expanded(part, sizes) for part in parts)
    sizes[id(node)] = total
    return total


def parse_value(text: str) -> Any:
    """Return the value of a YAML text, or the text itself if it is not valid YAML."""
    try:
        return parsed(text)[0]
    except yaml.YAMLError:
        return text


def parsed(text: str, loader_class: type[BoundedLoader] = _StudyLoader) -> tuple[Any, Any]:
    """Return the value and the node of a YAML text; raises `yaml.YAMLError`."""
    loader = loader_class(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        sizes: dict[int, int | None] = {}
        if _expanded(node, sizes) - len(sizes) > REPEATED:
            raise _fault(f"its aliases repeat more than {REPEATED:,} values; use fewer", node)
        return loader.construct_document(node), node
    finally:
        loader.dispose()


def read_dumped(path: Path, text: str) -> Any:
    """Return the value of `text`, the content of `path`, which `yaml.safe_dump` wrote.

    `yaml.safe_dump` writes a string such as 1e5 without quotes, so 1e5 is a string here.

    Raises
    ------
    InputError
        For the reasons of `read_yaml`.
    """
    return _value(text, BoundedLoader, str(path))[0]


def _value(text: str, loader_class: type[BoundedLoader], place: str) -> tuple[Any, Any]:
    try:
        return parsed(text, loader_class)
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
    """Read a YAML file.

    Parameters
    ----------
    path : Path
        The file.
    where : str, optional
        Beginning of an error's message. Default: the path.

    Returns
    -------
    value : object
        The value of the file.
    lines : dict
        Key path → `file:line`.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8, exceeds a limit, or is not YAML. The message contains the
        line.
    """
    value, node = _value(read_bounded(path, LARGEST, where), _StudyLoader, where or str(path))
    lines: Lines = {}
    _collect_lines(node, (), lines, path)
    return value, lines


def own_yaml(*parts: str) -> Any:
    """Return the value of a YAML file that is part of Probate."""
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
