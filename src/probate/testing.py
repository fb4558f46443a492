"""The conformance suites that all tasks, identity packs and mitigations pass; plug-in authors call them from their own tests.

from probate.testing import check_task, sample_context

def test_my_task(lm):  # any loaded probate.models.lm.LM
    check_task(MyTask(), lm, sample_context())
"""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from probate.core.records import Record
from probate.data.corpora import biographies
from probate.data.packs import Pack, load_pack
from probate.data.user_turn import BIOGRAPHY
from probate.mitigations.base import Mitigation, MitigationContext, mitigate
from probate.models.embedded import cache_dir, proof_dir
from probate.models.lm import LM
from probate.stats.imbalance import UNCLEAR, detect
from probate.tasks.base import Task, TaskContext
from probate.tasks.choice import ChoiceTask, encode_item


def sample_context(labels: tuple[str, ...] = ("nurse", "dentist"), per_cell: int = 3) -> TaskContext:
    """A small context from the builtin corpus: gender, two labels."""
    rows = [r for r in biographies() if r["label"] in labels and int(r["pair"].rsplit("-", 1)[1]) < per_cell]
    test = [
        Record(f"o:{r['id']}", r["text"], r["label"], {"gender": r["gender"]}, provenance={"pair": r["pair"]})
        for r in rows
    ]
    return TaskContext(
        test,
        list(labels),
        "gender",
        ["female", "male"],
        {"nurse": "female", "dentist": "male"},
        BIOGRAPHY,
        512,
        pack=load_pack("gender"),
    )


def check_task(task: Task, lm: LM, context: TaskContext) -> None:
    """Check that `task` keeps the contract.

    Raises:
        AssertionError: what it breaks: declarations, one primary measure, outcomes (ids, groups, order, determinism,
            progress), measures on outcomes and on an empty table, a fingerprint that holds what it reads.
    """
    for name in ("name", "title", "metric", "source"):
        _expect(
            isinstance(getattr(task, name, None), str) and getattr(task, name),
            f"declare a class attribute '{name}'",
        )
    _expect(task.relation in ("direct", "indirect"), "relation must be 'direct' or 'indirect'")
    ticks: list[int] = []
    outcomes = _check_reads(
        task, context, lambda: task.evaluate(lm, context, ticks.append), [Path(lm.spec.name)]
    )
    _expect(len(outcomes) > 0, "evaluate returned no outcome")
    _expect(
        sum(ticks) == task.size(context), f"ticks add up to {sum(ticks)}, size() says {task.size(context)}"
    )
    ids = [o.item_id for o in outcomes]
    _expect(len(set(ids)) == len(ids), "an item_id stands there twice")
    _expect(all(o.groups for o in outcomes), "an outcome has no groups")
    _expect(outcomes == task.evaluate(lm, context), "two evaluations of one model differ")
    table = pd.DataFrame([vars(o) for o in outcomes])
    measures = task.measures(context)
    _expect(sum(m.primary for m in measures) == 1, "exactly one measure must be primary")
    _expect(len({m.name for m in measures}) == len(measures), "two measures have one name")
    for measure in measures:
        _expect(
            measure.name != task.metric or measure.better == task.better,
            f"better is '{task.better}', but the measure '{measure.name}' says '{measure.better}'",
        )
        _expect(
            measure.better in ("higher", "lower", "none"),
            f"{measure.name}: better must be higher, lower or none",
        )
        _expect(
            len(measure.sides) < 2 or all(n in measure.toward("GROUP", "OTHER") for n in ("GROUP", "OTHER")),
            f"{measure.name}: toward must say in words what a gap between two groups means, with both names",
        )
        found = measure.values(table)
        columns = {"mean": ["value"], "macro_f1": ["target", "prediction"]}[measure.statistic]
        _expect(
            list(found.columns) == ["item_id", "side", *columns],
            f"{measure.name}: columns must be item_id, side, {', '.join(columns)}",
        )
        _expect(
            set(found["side"]) <= set(range(len(measure.sides))),
            f"{measure.name}: a side that is not declared",
        )
        _expect(bool(found[columns].notna().all(axis=None)), f"{measure.name}: a value is missing")
        unparsed = measure.values(table.assign(parsed=False))
        _expect(unparsed.empty, f"{measure.name}: unparsed outcomes must be left out")
    primary = next(m for m in measures if m.primary)
    _expect(
        not table["parsed"].all() or set(primary.values(table)["side"]) == set(range(len(primary.sides))),
        "the primary measure does not see every group in a balanced context",
    )
    if isinstance(task, ChoiceTask):
        _check_choices(task, lm, context)


def _check_choices(task: ChoiceTask, lm: LM, context: TaskContext) -> None:
    for item in task.items(context):
        _expect(
            len(item.options) == len(item.names) >= 2,
            f"{item.id}: options and names must be as many, at least two",
        )
        _expect(item.target in item.names, f"{item.id}: the target '{item.target}' is not among the names")
        _expect(bool(item.prompt.strip()) or not item.chat, f"{item.id}: the prompt is empty")
        _expect(
            len({" ".join(o.lower().split()) for o in item.options}) == len(item.options),
            f"{item.id}: two options are equal once case and spaces are set aside",
        )
    for item in {i.options: i for i in task.items(context)}.values():
        for option, ids in zip(item.options, encode_item(lm, item, context.max_length)[1], strict=True):
            _expect(
                lm.decode(ids).strip() == option.strip(), f"the tokens of option '{option}' do not spell it"
            )


def check_pack(pack: Pack) -> None:
    """Check that an identity pack can be generated and measured with.

    Raises:
        AssertionError: what it lacks: two groups, a noun with article, a source, names, ways to say it implicitly, words
            to cross it with.
    """
    _expect(len(pack.groups) >= 2, "a pack needs at least two groups")
    _expect(bool(pack.dimension and pack.source), "dimension and source must be given")
    for name, group in pack.groups.items():
        _expect(bool(group.noun.strip()), f"{name}: no noun")
        _expect(len(pack.named(name)) >= 4, f"{name}: fewer than four names")
        _expect(bool(group.names or group.implicit), f"{name}: neither names of its own nor an implicit hint")
        _expect(bool(group.modifier), f"{name}: no modifier, so that it cannot be crossed with another pack")
        for dimension, parts in group.by.items():
            loose = sorted({n for names in parts.values() for n in names} - set(group.names))
            _expect(
                not loose,
                f"{name}: by.{dimension} has names that are not among the group's: {', '.join(loose)}",
            )
        for language, spelled in group.written.items():
            missing = sorted(set(group.names) - set(spelled))
            _expect(not missing, f"{name}: written.{language} lacks {', '.join(missing)}")


def sample_records() -> tuple[list[Record], MitigationContext]:
    """Original and augmented records of the builtin corpus, and what a mitigation is given."""
    context = sample_context(per_cell=4)
    records = [
        r if number % 3 == 0 else replace(r, id=f"a:{r.id}", origin="augmented")
        for number, r in enumerate(context.test)
    ]
    assert context.pack is not None
    return records, MitigationContext("gender", context.groups, context.labels, (context.pack,))


def check_mitigation(mitigation: Mitigation) -> None:
    """Check that `mitigation` keeps the contract.

    Raises:
        AssertionError: what it breaks: declarations, original records untouched, no record lost without a reason, labels
            untouched, ids unique, a trace in the provenance of each change, positive weights, determinism, doing it twice
            where it says that this changes nothing, texts that show no group where it says so, empty input, a fingerprint that holds what it reads.
    """
    for name in ("name", "title", "source"):
        _expect(
            isinstance(getattr(mitigation, name, None), str) and getattr(mitigation, name),
            f"declare '{name}'",
        )
    records, context = sample_records()
    original = [r for r in records if r.origin == "original"]
    before = {r.id: r for r in records}
    found = _check_reads(mitigation, context, lambda: mitigate(records, [mitigation], context), [])
    _expect(
        [r for r in found.records if r.origin == "original"] == original,
        "an original record was changed or moved",
    )
    _expect(
        mitigate(original, [mitigation], context).records == original,
        "original records alone must stay as they are",
    )
    _expect(mitigate([], [mitigation], context).records == [], "no records must give no records")
    ids = [r.id for r in found.records]
    _expect(len(set(ids)) == len(ids), "two records have one id")
    lost = set(before) - set(ids) - {r.id for r, why in found.dropped if why}
    _expect(not lost, f"records are gone without a reason: {', '.join(sorted(lost))}")
    for r in found.records:
        parent = before.get(r.id) or before.get(
            str(next((m.get("parent") for m in r.provenance.get("mitigations", [])), ""))
        )
        _expect(parent is not None, f"{r.id}: a new record must name its parent in its provenance")
        assert parent is not None
        _expect(r.label == parent.label, f"{r.id}: its label was changed")
        _expect(
            r.text == parent.text or "mitigations" in r.provenance,
            f"{r.id}: changed without a line in its provenance",
        )
    _expect(len(found.weights) == len(found.records), "as many weights as records")
    _expect(
        all(w > 0 for w in found.weights),
        "a weight must be above 0; leave a record out with a reason instead",
    )
    _expect(found == mitigate(records, [mitigation], context), "two calls on the same records differ")
    if mitigation.removes_groups:
        pack = context.packs[0].only(context.groups)
        shown = detect([r.text for r in found.records if r.origin == "augmented"], pack)
        _expect(set(shown) <= {UNCLEAR}, "removes_groups, but an augmented text still shows a group")
    if mitigation.idempotent:
        again = mitigate(found.records, [mitigation], context)
        _expect(
            [r.text for r in again.records] == [r.text for r in found.records],
            "idempotent, but doing it twice differs",
        )


Made = TypeVar("Made")
_opened: list[set[str]] = []


def _check_reads(
    owner: Task | Mitigation, context: Any, work: Callable[[], Made], models: list[Path]
) -> Made:
    """What `work` makes. The fingerprint is the same twice, differs with the context, and each data file that `work` opens is in it.

    Files of libraries, of the owner's package, of `models` and of the cache are known by other means. What a library opens outside
    Python (Arrow, say) is not seen.
    """
    mark = owner.fingerprint(context)
    _expect(mark == owner.fingerprint(context), "two fingerprints of one context differ")
    for name in ("labels", "groups"):
        other = replace(context, **{name: [*getattr(context, name)][::-1]})
        _expect(mark != owner.fingerprint(other), f"the fingerprint does not depend on the context's {name}")
    _watch()
    _opened.append(set())
    try:
        made = work()
    finally:
        opened = _opened.pop()
    counted = {file.resolve() for path in _paths(owner.reads(context)) for file in (path, *path.rglob("*"))}
    own = [Path(inspect.getfile(type(owner))).parent] if type(owner).__module__ != "__main__" else []
    known = [
        *map(Path, sysconfig.get_paths().values()),
        Path(sys.base_prefix),
        *map(Path, ("/proc", "/sys", "/dev", "/etc")),
    ]
    known = [p.resolve() for p in (*known, Path(__file__).parent, cache_dir(), proof_dir(), *models, *own)]
    loose = sorted(
        str(p)
        for p in {Path(name).resolve() for name in opened}
        if p.suffix not in (".py", ".pyc")
        and p not in counted
        and not any(p.is_relative_to(k) for k in known)
    )
    _expect(
        not loose,
        f"it reads {', '.join(loose)}, which its fingerprint does not hold; let reads() give the path",
    )
    return made


def _paths(reads: Any) -> Iterator[Path]:
    if isinstance(reads, Path):
        yield reads
    elif isinstance(reads, (list, tuple, set)):
        for one in reads:
            yield from _paths(one)


@cache
def _watch() -> None:
    """Note which files are opened to be read, from now on, wherever someone wants to know."""

    def note(event: str, args: Any) -> None:
        if (
            _opened
            and event == "open"
            and isinstance(args[0], (str, bytes))
            and not args[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            _opened[-1].add(os.fsdecode(args[0]))

    sys.addaudithook(note)


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
