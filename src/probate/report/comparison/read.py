"""Read results from run folders, lm-evaluation-harness samples, inspect_ai logs and tables."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from probate.core.errors import InputError, first_line, nearest, some
from probate.core.inputs import check_regular
from probate.core.parse import NotJson, json_value
from probate.core.plugins import require
from probate.data.rows import LONGEST_LINE, source_rows
from probate.data.shape.columns import first_named
from probate.data.shape.names import RESULT_GROUPS, RESULT_ITEMS, RESULT_QUESTIONS, RESULT_SCORES
from probate.execution.folder import RunFolder
from probate.execution.folder_schema import OUTCOMES, kept_groups, kept_table
from probate.report.comparison.scores import read_score

COLUMNS = ["set", "item", "score", "prediction", "target", "groups", "question", "cluster"]
"""`set`: items that are compared with the set of the same name on the other side, as a task and its metric.
`cluster`: links items of a table that were drawn together, else empty."""
CLUSTER = "cluster"


def read_results(
    source: str, columns: Mapping[str, str] | None = None, cluster: str = ""
) -> tuple[pd.DataFrame, str]:
    """Read results from a file or folder.

    Parameters
    ----------
    source : str
        File or folder.
    columns : mapping of str to str, optional
        Dimension → column of a table that holds its groups.
    cluster : str, optional
        Column of a table that links items which were drawn together. By default, the column `cluster`, if
        there is one.

    Returns
    -------
    table : pandas.DataFrame
        The columns `COLUMNS`, and `unread`. A score that cannot be read is NaN, and `unread` has the reason.
    kind : str
        Kind of the source, with its article.

    Raises
    ------
    InputError
        The source cannot be read, a column is missing, or an item is duplicated.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"{source}: no such file or folder")
    kind, reader = _kind(path)
    if columns and kind != "a table":
        raise InputError(
            f"--group: {source} is {kind}, which defines its groups; use --group only with tables"
        )
    if cluster and kind != "a table":
        raise InputError(
            f"--cluster: {source} is {kind}, whose ids link the items; use --cluster only with tables"
        )
    rows = _table_rows(path, columns, cluster) if kind == "a table" else ([*row, ""] for row in reader(path))
    table = pd.DataFrame(rows, columns=COLUMNS)
    read = [v if isinstance(v, Unread) else read_score(v) for v in table["score"]]
    table["score"] = pd.Series([score for score, _ in read], table.index, dtype=float)
    table["unread"] = pd.Series([why for _, why in read], table.index, dtype=object)
    if not table["score"].notna().any():
        why = ", ".join(f"{reason} {n}" for reason, n in table["unread"].value_counts().items())
        raise InputError(f"{source}: no item has a score (read as {kind}{'; ' + why if why else ''})")
    twice = table[table.duplicated(["set", "item"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(
            f"{source}: item '{first['item']}' is duplicated in '{first['set']}'; each item must be unique"
        )
    return table.reset_index(drop=True), kind


class Unread(NamedTuple):
    """Placeholder of a score: the tool could not read the answer."""

    score: float = math.nan
    why: str = "not parsed"


def _kind(path: Path) -> tuple[str, Callable[[Path], Iterator[list[Any]]]]:
    """Return the kind of a source, and the function that reads its rows."""
    if not path.is_dir():
        check_regular(path)
    if path.is_dir():
        if (path / "outcomes.parquet").exists():
            return "a run folder", _run_rows
        if any(path.rglob("samples_*.jsonl")):
            return "lm-evaluation-harness samples", _harness_rows
        if any(path.rglob("*.eval")):
            return "inspect_ai logs", _inspect_rows
        raise InputError(
            f"{path}: neither a run folder (outcomes.parquet), nor harness samples (samples_*.jsonl), nor "
            "inspect_ai logs (*.eval)"
        )
    if path.suffix == ".eval" or (path.suffix == ".json" and '"eval"' in _head(path)):
        return "an inspect_ai log", _inspect_rows
    if path.suffix == ".jsonl" and _is_harness(path):
        return "lm-evaluation-harness samples", _harness_rows
    return "a table", _table_rows


def _head(path: Path) -> str:
    """Return the first 2,000 characters of a file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(2000)


RUN_COLUMNS = ("arm", "task", "item_id", "score", "prediction", "target", "groups", "parsed")


def _run_rows(path: Path) -> Iterator[list[Any]]:
    """Yield the rows of a run folder."""
    if (path / "study.lock.yaml").exists():
        RunFolder(path).check_whole()
    own = path / "outcomes.parquet"
    table = kept_table(path, own, {name: kind for name, kind in OUTCOMES.items() if name in RUN_COLUMNS})
    table["groups"] = kept_groups(own, table["groups"])
    for r in table.itertuples():
        score = r.score if r.parsed else Unread()
        yield [f"{r.arm}: {r.task}", r.item_id, score, r.prediction, r.target, r.groups, ""]


def _is_harness(path: Path) -> bool:
    """Return whether the first line of a file is a harness sample."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        try:
            row = json_value(file.readline(LONGEST_LINE))
        except NotJson:
            return False
    return isinstance(row, dict) and "doc_id" in row and "resps" in row


SAMPLE = {"doc_id": (int, str), "doc_hash": (int, str), "filter": (str,), "metrics": (list,)}
"""Types of optional keys of a harness sample."""


def _harness_rows(path: Path) -> Iterator[list[Any]]:
    """Yield the rows of lm-evaluation-harness samples."""
    for file in [path] if path.is_file() else sorted(path.rglob("samples_*.jsonl")):
        task = file.stem.removeprefix("samples_").rsplit("_20", 1)[
            0
        ]  # samples_TASK_2026-01-01T00-00-00.jsonl
        rows = []
        for where, row in source_rows(str(file), "train", Path()):
            fault = row if isinstance(row, str) else _sample_fault(row)
            if isinstance(row, str) or fault:
                raise InputError(f"{where}: {fault}")
            rows.append(row)
        items = _harness_items(rows)
        for row, item in zip(rows, items, strict=True):
            names = row.get("metrics")
            if not names:
                names = [k for k, v in row.items() if k in RESULT_SCORES or isinstance(v, float)]
            kind = row.get("filter")
            suffix = "" if kind in (None, "none") else f", {kind}"
            doc: dict[str, Any] = row["doc"] if isinstance(row.get("doc"), dict) else {}
            question = json.dumps(doc, ensure_ascii=False, sort_keys=True, default=str) if doc else ""
            answer = json.dumps(row.get("filtered_resps"), ensure_ascii=False)
            for name in names:
                if name != "target":
                    yield [
                        f"{task}: {name}{suffix}",
                        item,
                        row.get(name),
                        answer,
                        _text(row.get("target")),
                        _groups(doc),
                        question,
                    ]


def _sample_fault(row: dict[str, Any]) -> str:
    """Return what is wrong with a line of samples; empty if nothing is."""
    if row.get("doc_id") is None:
        return "doc_id is missing; this is not a line of --log_samples"
    for name, kinds in SAMPLE.items():
        if not isinstance(row.get(name), (*kinds, type(None))):
            return f"{name} has the type {type(row[name]).__name__}; this is not a line of --log_samples"
    if not all(isinstance(name, str) for name in row.get("metrics") or []):
        return "metrics is not a list of names; this is not a line of --log_samples"
    return ""


def _harness_items(rows: list[dict[str, Any]]) -> list[str]:
    """Return the id of each sample: the hash of its document, or `doc_id` if two documents share a hash.

    The second sample of a document has the id `ID#2`.
    """
    by_hash: dict[Any, set[Any]] = defaultdict(set)
    for row in rows:
        by_hash[row.get("doc_hash")].add(row["doc_id"])
    plain = all(by_hash) and all(len(ids) == 1 for ids in by_hash.values())
    seen: Counter[tuple[Any, str]] = Counter()
    names = []
    for row in rows:
        item = str(row["doc_hash"] if plain else row["doc_id"])
        seen[row.get("filter"), item] += 1
        number = seen[row.get("filter"), item]
        names.append(item if number == 1 else f"{item}#{number}")
    return names


def _inspect_rows(path: Path) -> Iterator[list[Any]]:
    """Yield the rows of inspect_ai logs."""
    log: Any = require("inspect_ai.log", "inspect")
    for file in [path] if path.is_file() else sorted(path.rglob("*.eval")):
        try:
            run = log.read_eval_log(str(file))
        except Exception as error:
            raise InputError(f"{file}: inspect_ai cannot read it ({first_line(error)})") from None
        for sample in run.samples or []:
            for name, score in (sample.scores or {}).items():
                item = f"{sample.id}" if sample.epoch == 1 else f"{sample.id}#{sample.epoch}"
                groups, question = _groups(sample.metadata or {}), _text(sample.input)
                parts = score.value if isinstance(score.value, dict) else {"": score.value}
                for part, value in parts.items():
                    named = f"{run.eval.task}: {name}" + (f", {part}" if part else "")
                    yield [named, item, value, _text(score.answer), _text(sample.target), groups, question]


def _table_rows(
    path: Path, columns: Mapping[str, str] | None = None, cluster: str = ""
) -> Iterator[list[Any]]:
    """Yield the rows of a table."""
    names: dict[str, str] = {}
    rows = []
    for where, row in source_rows(str(path), "train", Path()):
        if isinstance(row, str):
            raise InputError(f"{where}: {row}")
        rows.append((where, row))
    have = list(
        dict.fromkeys(str(c) for _, row in rows for c in row)
    )  # later rows may have columns that the first lacks
    for what, known in (("item", RESULT_ITEMS), ("score", RESULT_SCORES)):
        column = first_named(known, have)
        if column is None:
            near = next((n for c in have if (n := nearest(c, list(known)))), "")
            raise InputError(
                f"{rows[0][0] if rows else path}: no column for the {what}; "
                f"one of {', '.join(known)} is needed{near}; the file has: {some(have)}"
            )
        names[what] = column
    for column in (columns or {}).values():
        if column not in have:
            raise InputError(
                f"--group: {path} has no column '{column}'{nearest(column, have)}; it has: {some(have)}"
            )
    if cluster and cluster not in have:
        raise InputError(
            f"--cluster: {path} has no column '{cluster}'{nearest(cluster, have)}; it has: {some(have)}"
        )
    linked = cluster or (CLUSTER if CLUSTER in have else "")
    asked = first_named(RESULT_QUESTIONS, have) or ""
    for where, row in rows:
        item = _text(row.get(names["item"]))
        if not item:
            raise InputError(f"{where}: column '{names['item']}' is empty; each row needs an id")
        task = next((t for c in ("set", "task") if (t := _text(row.get(c)))), "all")
        groups = _groups(row)
        groups.update(
            (name, value) for name, column in (columns or {}).items() if (value := _text(row.get(column)))
        )
        yield [
            task,
            item,
            row.get(names["score"]),
            _text(row.get("prediction")),
            _text(row.get("target")),
            groups,
            _text(row.get(asked)),
            _text(row.get(linked)) if linked else "",
        ]


def _text(value: Any) -> str:
    """Return a value as text; None and NaN are empty.

    1.0 becomes 1, because a column of integers with gaps is read as floats.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _groups(row: dict[str, Any]) -> dict[str, str]:
    """Return dimension → group, without missing groups."""
    value: Any = next((row[c] for c in RESULT_GROUPS if row.get(c) is not None), {})
    if isinstance(value, str):
        try:
            parsed = json_value(value)
        except NotJson:
            parsed = value
        value = parsed if isinstance(parsed, dict) else value
    if not isinstance(value, dict):
        value = {"group": value}
    texts = {str(k): _text(v) for k, v in value.items()}
    return {k: v for k, v in texts.items() if v and v.lower() not in ("nan", "none", "null", "<na>")}
