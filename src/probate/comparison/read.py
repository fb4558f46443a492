"""Results in one shape, wherever they come from: run folders, lm-evaluation-harness samples, inspect_ai logs, tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from probate.errors import InputError, nearest
from probate.readers import source_rows
from probate.registry import require

COLUMNS = ["set", "item", "score", "prediction", "target", "groups"]
"""`set`: what is compared with the same set of the other side (a task and its metric, an arm's task)."""
ITEM = ("item", "item_id", "id", "doc_id", "sample_id", "question_id")
SCORE = ("score", "correct", "acc", "accuracy", "value", "exact_match")
GROUPS = ("groups", "group")
LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""inspect_ai's marks: correct, incorrect, partial, no answer."""


def read_results(source: str) -> tuple[pd.DataFrame, str]:
    """The results in `source`, with the columns `COLUMNS`, and what kind of thing it was.

    Raises:
        InputError: nothing there that can be read, a missing column, an item that stands there twice.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"{source}: no such file or folder")
    kind, reader = _kind(path)
    table = pd.DataFrame(reader(path), columns=COLUMNS)
    table["score"] = pd.to_numeric(table["score"], errors="coerce").astype(float)
    table = table[table["score"].notna()]
    if table.empty:
        raise InputError(f"{source}: no item with a score in it (read as {kind})")
    twice = table[table.duplicated(["set", "item"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(
            f"{source}: item '{first['item']}' stands twice in '{first['set']}'; items must be unique to be paired"
        )
    return table.reset_index(drop=True), kind


def _kind(path: Path) -> tuple[str, Callable[[Path], Iterator[list[Any]]]]:
    if path.is_dir():
        if (path / "outcomes.parquet").exists():
            return "a run folder", _run_rows
        if any(path.rglob("samples_*.jsonl")):
            return "lm-evaluation-harness samples", _harness_rows
        if any(path.rglob("*.eval")):
            return "inspect_ai logs", _inspect_rows
        raise InputError(
            f"{path}: neither a run folder (outcomes.parquet), nor harness samples (samples_*.jsonl), nor inspect_ai logs (*.eval)"
        )
    if path.suffix == ".eval" or (
        path.suffix == ".json" and '"eval"' in path.read_text(encoding="utf-8", errors="replace")[:2000]
    ):
        return "an inspect_ai log", _inspect_rows
    if path.suffix == ".jsonl" and _is_harness(path):
        return "lm-evaluation-harness samples", _harness_rows
    return "a table", _table_rows


def _run_rows(path: Path) -> Iterator[list[Any]]:
    table = pd.read_parquet(path / "outcomes.parquet")
    for r in table[table["parsed"]].itertuples():
        yield [f"{r.arm}: {r.task}", r.item_id, r.score, r.prediction, r.target, json.loads(r.groups)]


def _is_harness(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        try:
            row = json.loads(lines.readline())
        except ValueError:
            return False
    return isinstance(row, dict) and "doc_id" in row and "resps" in row


def _harness_rows(path: Path) -> Iterator[list[Any]]:
    for file in [path] if path.is_file() else sorted(path.rglob("samples_*.jsonl")):
        task = file.stem.removeprefix("samples_").rsplit("_20", 1)[0]  # samples_TASK_2026-01-01T00-00-00.jsonl
        for where, row in source_rows(str(file), "train", Path()):
            if isinstance(row, str) or "doc_id" not in row:
                raise InputError(f"{where}: {row if isinstance(row, str) else 'no doc_id; not a line of --log_samples'}")
            names = row.get("metrics") or [
                k for k, v in row.items() if k in SCORE or (isinstance(v, float) and k not in ("target",))
            ]
            suffix = "" if row.get("filter", "none") == "none" else f", {row['filter']}"
            doc: dict[str, Any] = row["doc"] if isinstance(row.get("doc"), dict) else {}
            for name in names:
                if isinstance(row.get(name), (int, float, bool)):
                    item, answer = (
                        row.get("doc_hash") or str(row["doc_id"]),
                        json.dumps(row.get("filtered_resps"), ensure_ascii=False),
                    )
                    yield [f"{task}: {name}{suffix}", item, float(row[name]), answer, str(row.get("target", "")), _groups(doc)]


def _inspect_rows(path: Path) -> Iterator[list[Any]]:
    log: Any = require("inspect_ai.log", "inspect")
    for file in [path] if path.is_file() else sorted(path.rglob("*.eval")):
        try:
            found = log.read_eval_log(str(file))
        except Exception as error:
            raise InputError(
                f"{file}: inspect_ai cannot read it ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            ) from None
        for sample in found.samples or []:
            for name, score in (sample.scores or {}).items():
                value = LETTERS.get(score.value, score.value) if isinstance(score.value, str) else score.value
                if isinstance(value, (int, float, bool)):
                    item = f"{sample.id}" if sample.epoch == 1 else f"{sample.id}#{sample.epoch}"
                    answer, target = str(score.answer or ""), str(sample.target)
                    yield [f"{found.eval.task}: {name}", item, float(value), answer, target, _groups(sample.metadata or {})]


def _table_rows(path: Path) -> Iterator[list[Any]]:
    names: dict[str, str] = {}
    for where, row in source_rows(str(path), "train", Path()):
        if isinstance(row, str):
            raise InputError(f"{where}: {row}")
        if not names:
            for what, known in (("item", ITEM), ("score", SCORE)):
                column = next((c for c in known if c in row), None)
                if column is None:
                    near = next((n for c in row if (n := nearest(str(c), list(known)))), "")
                    raise InputError(
                        f"{where}: no column for the {what}; one of {', '.join(known)} is needed{near}; the file has: {', '.join(map(str, row))}"
                    )
                names[what] = column
        score = row[names["score"]]
        score = {"true": 1.0, "false": 0.0}.get(str(score).lower(), score)
        task = str(row.get("set") or row.get("task") or "all")
        yield [task, str(row[names["item"]]), score, str(row.get("prediction", "")), str(row.get("target", "")), _groups(row)]


def _groups(row: dict[str, Any]) -> dict[str, str]:
    value: Any = next((row[c] for c in GROUPS if row.get(c)), {})
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = {"group": value}
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {"group": str(value)}
