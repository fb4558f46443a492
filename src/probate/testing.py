"""The conformance suite that all tasks pass; plug-in authors call it from their own tests.

from probate.testing import check_task, sample_context

def test_my_task(lm):  # any loaded probate.models.lm.LM
    check_task(MyTask(), lm, sample_context())
"""

from __future__ import annotations

import pandas as pd

from probate.corpus import biographies
from probate.models.lm import LM
from probate.records import Record
from probate.study import PROMPT
from probate.tasks.base import Task, TaskContext


def sample_context(labels: tuple[str, ...] = ("nurse", "dentist"), per_cell: int = 3) -> TaskContext:
    """A small context from the builtin corpus: gender, two labels."""
    rows = [r for r in biographies() if r["label"] in labels and int(r["pair"].rsplit("-", 1)[1]) < per_cell]
    test = [Record(f"o:{r['id']}", r["text"], r["label"], {"gender": r["gender"]}) for r in rows]
    return TaskContext(test, list(labels), "gender", ["female", "male"], {"nurse": "female", "dentist": "male"}, PROMPT, 512)


def check_task(task: Task, lm: LM, context: TaskContext) -> None:
    """Check that `task` keeps the contract.

    Raises:
        AssertionError: what it breaks: declarations, one primary measure, outcomes (ids, groups, order, determinism,
            progress), measures on outcomes and on an empty table, its place in the registry's shape.
    """
    for name in ("name", "title", "metric", "source"):
        _expect(isinstance(getattr(task, name, None), str) and getattr(task, name), f"declare a class attribute '{name}'")
    _expect(task.relation in ("direct", "indirect"), "relation must be 'direct' or 'indirect'")
    ticks: list[int] = []
    outcomes = task.evaluate(lm, context, ticks.append)
    _expect(len(outcomes) > 0, "evaluate returned no outcome")
    _expect(sum(ticks) == task.size(context), f"ticks add up to {sum(ticks)}, size() says {task.size(context)}")
    ids = [o.item_id for o in outcomes]
    _expect(len(set(ids)) == len(ids), "an item_id stands there twice")
    _expect(all(o.groups for o in outcomes), "an outcome has no groups")
    _expect(outcomes == task.evaluate(lm, context), "two evaluations of one model differ")
    table = pd.DataFrame([vars(o) for o in outcomes])
    measures = task.measures(context)
    _expect(sum(m.primary for m in measures) == 1, "exactly one measure must be primary")
    _expect(len({m.name for m in measures}) == len(measures), "two measures have one name")
    for measure in measures:
        _expect(measure.better in ("higher", "lower", "none"), f"{measure.name}: better must be higher, lower or none")
        found = measure.values(table)
        _expect(list(found.columns) == ["item_id", "side", "value"], f"{measure.name}: columns must be item_id, side, value")
        _expect(set(found["side"]) <= {0, 1}, f"{measure.name}: side must be 0 or 1")
        _expect(bool(found["value"].notna().all()), f"{measure.name}: a value is missing")
        unparsed = measure.values(table.assign(parsed=False))
        _expect(unparsed.empty, f"{measure.name}: unparsed outcomes must be left out")
    primary = next(m for m in measures if m.primary)
    _expect(set(primary.values(table)["side"]) == {0, 1}, "the primary measure sees one group only in a balanced context")


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
