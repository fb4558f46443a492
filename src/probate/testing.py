"""Conformance suites for plug-ins. All plug-ins of Probate pass them; plug-in authors call them from tests.

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
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from probate.core.deferred import deferred
from probate.core.records import Record
from probate.data.corpora import biographies
from probate.data.packs import Pack, load_pack
from probate.data.user_turn import BIOGRAPHY
from probate.mitigations.base import Mitigation, MitigationContext, mitigate
from probate.models.adapter import attached
from probate.models.adapter_files import CONFIG, WEIGHTS
from probate.models.backend import Backend
from probate.models.embedded import cache_dir, proof_dir
from probate.models.lm import LM, lm_of
from probate.stats.imbalance import UNCLEAR, detect
from probate.study.schema import Lora, ModelSpec, Training
from probate.tasks.base import Task, TaskContext
from probate.tasks.choice import ChoiceTask, encode_item

with deferred():
    from probate.train import examples as encoding

if TYPE_CHECKING:
    from probate.train.trainer import Trainer, TrainingLog


def sample_context(labels: tuple[str, ...] = ("nurse", "dentist"), per_cell: int = 3) -> TaskContext:
    """Return a small context from the builtin corpus, with the dimension gender.

    Parameters
    ----------
    labels : tuple of str, default ("nurse", "dentist")
        Labels of the corpus.
    per_cell : int, default 3
        Number of records of each label and group.

    Returns
    -------
    TaskContext
    """
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
    """Check that a task satisfies its contract.

    Parameters
    ----------
    task : Task
        The task.
    lm : LM
        Any loaded model.
    context : TaskContext
        Data and groups, such as `sample_context()`.

    Raises
    ------
    AssertionError
        The message names the violated part: declarations; one primary measure; outcomes (ids, groups, order,
        determinism, progress); measures on outcomes and on an empty table; a fingerprint that includes all
        files that the task reads.
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
    _expect(len(outcomes) > 0, "evaluate must return at least one outcome")
    _expect(
        sum(ticks) == task.size(context),
        f"ticks add up to {sum(ticks)}, but size() returns {task.size(context)}",
    )
    ids = [o.item_id for o in outcomes]
    _expect(len(set(ids)) == len(ids), "an item_id is duplicated")
    _expect(all(o.groups for o in outcomes), "an outcome has no groups")
    _expect(outcomes == task.evaluate(lm, context), "two evaluations of the same model differ")
    table = pd.DataFrame([vars(o) for o in outcomes])
    measures = task.measures(context)
    _expect(sum(m.primary for m in measures) == 1, "exactly one measure must be primary")
    _expect(len({m.name for m in measures}) == len(measures), "two measures have the same name")
    for measure in measures:
        _expect(
            measure.name != task.metric or measure.better == task.better,
            f"better is '{task.better}', but the measure '{measure.name}' has '{measure.better}'",
        )
        _expect(
            measure.better in ("higher", "lower", "none"),
            f"{measure.name}: better must be 'higher', 'lower' or 'none'",
        )
        _expect(
            len(measure.sides) < 2 or all(n in measure.toward("GROUP", "OTHER") for n in ("GROUP", "OTHER")),
            f"{measure.name}: toward must describe a gap between two groups in words, with both names",
        )
        values = measure.values(table)
        columns = {"mean": ["value"], "macro_f1": ["target", "prediction"]}[measure.statistic]
        _expect(
            list(values.columns) == ["item_id", "side", *columns],
            f"{measure.name}: columns must be item_id, side, {', '.join(columns)}",
        )
        _expect(
            set(values["side"]) <= set(range(len(measure.sides))),
            f"{measure.name}: values() returns a side that is not in sides",
        )
        _expect(bool(values[columns].notna().all(axis=None)), f"{measure.name}: a value is missing")
        unparsed = measure.values(table.assign(parsed=False))
        _expect(unparsed.empty, f"{measure.name}: values() must leave out outcomes that were not parsed")
    primary = next(m for m in measures if m.primary)
    _expect(
        not table["parsed"].all() or set(primary.values(table)["side"]) == set(range(len(primary.sides))),
        "the primary measure does not cover every group of a balanced context",
    )
    if isinstance(task, ChoiceTask):
        _check_choices(task, lm, context)


def check_probe(probe: Task, lm: LM, context: TaskContext) -> None:
    """Check that a probe satisfies the contract of a task (`check_task`) and has items of its own.

    Parameters
    ----------
    probe : Task
        The probe.
    lm : LM
        Any loaded model.
    context : TaskContext
        Data and groups, such as `sample_context()`.

    Raises
    ------
    AssertionError
        The message names the violated part.
    """
    check_task(probe, lm, context)
    swapped = replace(context, stereotypes={label: list(context.groups) for label in context.labels})
    _expect(
        [o.item_id for o in probe.evaluate(lm, context)] == [o.item_id for o in probe.evaluate(lm, swapped)],
        "the items depend on the stereotypes of the study; a probe must have items of its own",
    )


def _check_choices(task: ChoiceTask, lm: LM, context: TaskContext) -> None:
    for item in task.items(context):
        _expect(
            len(item.options) == len(item.names) >= 2,
            f"{item.id}: options and names must have the same length, at least 2",
        )
        _expect(item.target in item.names, f"{item.id}: the target '{item.target}' is not in names")
        _expect(bool(item.prompt.strip()) or not item.chat, f"{item.id}: the prompt is empty")
        _expect(
            len({" ".join(o.lower().split()) for o in item.options}) == len(item.options),
            f"{item.id}: two options are equal apart from case and spaces",
        )
    for item in {i.options: i for i in task.items(context)}.values():
        for option, ids in zip(item.options, encode_item(lm, item, context.max_length)[1], strict=True):
            _expect(
                lm.decode(ids).strip() == option.strip(),
                f"the tokens of option '{option}' do not decode to its text",
            )


def check_identity(pack: Pack) -> None:
    """Check that an identity pack can be used to generate and to measure.

    Parameters
    ----------
    pack : Pack
        The identity pack.

    Raises
    ------
    AssertionError
        The message names what is missing: two groups, a source, nouns with article, names, implicit hints, or
        words for crossing with another pack.
    """
    _expect(len(pack.groups) >= 2, "a pack needs at least two groups")
    _expect(bool(pack.dimension and pack.source), "dimension and source must be given")
    for name, group in pack.groups.items():
        _expect(bool(group.noun.strip()), f"{name}: the noun is missing")
        _expect(len(pack.named(name)) >= 4, f"{name}: fewer than four names")
        _expect(
            bool(group.names or group.implicit),
            f"{name}: the group needs names of its own or an implicit hint",
        )
        _expect(
            bool(group.modifier),
            f"{name}: the modifier is missing, so that the group cannot be crossed with another pack",
        )
        for dimension, parts in group.by.items():
            loose = sorted({n for names in parts.values() for n in names} - set(group.names))
            _expect(
                not loose,
                f"{name}: by.{dimension} has names that are not in the names of the group: "
                f"{', '.join(loose)}",
            )
        for language, spelled in group.written.items():
            missing = sorted(set(group.names) - set(spelled))
            _expect(not missing, f"{name}: written.{language} lacks {', '.join(missing)}")


def sample_records() -> tuple[list[Record], MitigationContext]:
    """Return original and augmented records of the builtin corpus, and the context of a mitigation.

    Returns
    -------
    tuple of (list of Record, MitigationContext)
    """
    context = sample_context(per_cell=4)
    records = [
        r if number % 3 == 0 else replace(r, id=f"a:{r.id}", origin="augmented")
        for number, r in enumerate(context.test)
    ]
    assert context.pack is not None
    return records, MitigationContext("gender", context.groups, context.labels, (context.pack,))


def check_mitigation(mitigation: Mitigation) -> None:
    """Check that a mitigation satisfies its contract.

    Parameters
    ----------
    mitigation : Mitigation
        The mitigation.

    Raises
    ------
    AssertionError
        The message names the violated part: declarations; original records and labels unchanged; no record
        lost without a reason; unique ids; an entry in the provenance for each change; positive weights;
        determinism; no change by a second application, if `idempotent`; texts that show no group, if
        `removes_groups`; empty input; a fingerprint that includes all files that the mitigation reads.
    """
    for name in ("name", "title", "source"):
        _expect(
            isinstance(getattr(mitigation, name, None), str) and getattr(mitigation, name),
            f"declare '{name}'",
        )
    records, context = sample_records()
    original = [r for r in records if r.origin == "original"]
    before = {r.id: r for r in records}
    result = _check_reads(mitigation, context, lambda: mitigate(records, [mitigation], context), [])
    _expect(
        [r for r in result.records if r.origin == "original"] == original,
        "an original record was changed or moved",
    )
    _expect(
        mitigate(original, [mitigation], context).records == original,
        "a data set of original records alone must stay unchanged",
    )
    _expect(mitigate([], [mitigation], context).records == [], "an empty data set must stay empty")
    ids = [r.id for r in result.records]
    _expect(len(set(ids)) == len(ids), "two records have the same id")
    lost = set(before) - set(ids) - {r.id for r, why in result.dropped if why}
    _expect(not lost, f"records were removed without a reason: {', '.join(sorted(lost))}")
    for r in result.records:
        parent = before.get(r.id) or before.get(
            str(next((m.get("parent") for m in r.provenance.get("mitigations", [])), ""))
        )
        _expect(parent is not None, f"{r.id}: a new record must name its parent in the provenance")
        assert parent is not None
        _expect(r.label == parent.label, f"{r.id}: the label was changed")
        _expect(
            r.text == parent.text or "mitigations" in r.provenance,
            f"{r.id}: the text was changed without an entry in the provenance",
        )
    _expect(len(result.weights) == len(result.records), "there must be one weight for each record")
    _expect(
        all(w > 0 for w in result.weights),
        "a weight must be above 0; to remove a record, drop it with a reason",
    )
    _expect(result == mitigate(records, [mitigation], context), "two calls on the same records differ")
    if mitigation.removes_groups:
        pack = context.packs[0].only(context.groups)
        shown = detect([r.text for r in result.records if r.origin == "augmented"], pack)
        _expect(set(shown) <= {UNCLEAR}, "removes_groups is true, but an augmented text still shows a group")
    if mitigation.idempotent:
        again = mitigate(result.records, [mitigation], context)
        _expect(
            [r.text for r in again.records] == [r.text for r in result.records],
            "idempotent is true, but a second application changes texts",
        )


def check_backend(backend: Backend, spec: ModelSpec) -> None:
    """Check that a backend satisfies its contract.

    Parameters
    ----------
    backend : Backend
        The backend.
    spec : ModelSpec
        A model that the backend loads.

    Raises
    ------
    AssertionError
        The message names the violated part: declarations; a tokenizer with a chat template; facts; scores
        (shapes, bounds, chain rule, independence of the other prompts, progress); answers (length, ends,
        seeds, saving and skipping of batches); agreement of scores and answers.
    """
    _expect(bool(backend.name and backend.title), "declare 'name' and 'title'")
    lm = lm_of(backend, spec)
    _expect(lm.context > 0, "context must be above 0")
    facts = backend.facts(lm.model)
    _expect(bool(facts.dtype and facts.device), "facts must include a dtype and a device")
    _expect(
        lm.fingerprint == lm_of(backend, spec).fingerprint,
        "loading the same model twice gives different fingerprints",
    )
    questions = ["Name a colour.", "What is the capital of France? Answer with one word.", "Name a colour."]
    prompts = [lm.prompt_ids([{"role": "user", "content": q}], 16) for q in questions]
    first, second, third = (lm.text_ids(text) for text in ("red", "Paris", "the sea"))
    _check_scores(
        lm, prompts, [[first, [*first, *second]], [second, third, first], [first, [*first, *second]]]
    )
    _check_answers(lm, prompts)


def _check_scores(lm: LM, prompts: list[list[int]], options: list[list[list[int]]]) -> None:
    ticks: list[int] = []
    scores = lm.score_choices(prompts, options, tick=ticks.append)
    _expect(
        [len(s) for s in scores] == [len(o) for o in options],
        "score_choices must return one score for each option of each prompt",
    )
    _expect(all(s.dtype == np.float64 for s in scores), "scores must be float64")
    _expect(
        all(bool(np.isfinite(s).all() and (s <= 0).all()) for s in scores), "a score must be in (-inf, 0]"
    )
    _expect(sum(ticks) == len(prompts), f"ticks add up to {sum(ticks)}, but there are {len(prompts)} prompts")
    for prompt, own, together in zip(prompts, options, scores, strict=True):
        alone = lm.score_choices([prompt], [own])[0]
        _expect(_near(alone, together), "a prompt's scores depend on the other prompts")
    whole = float(scores[0][1] - scores[0][0])
    rest = float(
        lm.score_choices([[*prompts[0], *options[0][0]]], [[options[0][1][len(options[0][0]) :]]])[0][0]
    )
    _expect(_near(whole, rest), "the score of an option is not the sum of its tokens' log-probabilities")
    table = lm.score_options(prompts, options[1])
    _expect(
        table.shape == (len(prompts), len(options[1])),
        "score_options must return an array of shape (prompts, options)",
    )
    _expect(_near(table[1], scores[1]), "score_options and score_choices differ")


def _check_answers(lm: LM, prompts: list[list[int]]) -> None:
    places: list[int] = []
    given: dict[str, Any] = {"max_new_tokens": 8, "temperature": 1.0}
    answers = lm.generate(prompts, [1, 2, 3], done=lambda batch, _: places.extend(batch), **given)
    _expect(len(answers) == len(prompts), "generate must return one answer for each prompt")
    _expect(sorted(places) == list(range(len(prompts))), "done must be called once for each prompt")
    _expect(all(len(a) <= 8 for a in answers), "an answer is longer than max_new_tokens")
    _expect(not any(set(a) & set(lm.stop_ids) for a in answers), "an answer includes the token that ended it")
    _expect(answers == lm.generate(prompts, [1, 2, 3], **given), "the same seeds give different answers")
    left = lm.generate(prompts, [1, 2, 3], skip=lambda batch: True, **given)
    _expect(left == [[], [], []], "a batch for which skip returns true must be skipped")
    greedy = lm.generate(prompts[:1], [0], max_new_tokens=1, temperature=0)[0]
    others = [[i] for i in range(0, len(lm.tokenizer), max(1, len(lm.tokenizer) // 200))]
    likeliest = [greedy] if greedy else [[i] for i in lm.stop_ids]
    scores = lm.score_choices(prompts[:1], [[*likeliest, *others]])[0]
    best = float(scores[: len(likeliest)].max())
    _expect(
        best >= float(scores.max()) - NEAR,
        "at temperature 0 the token is not the most likely one by score_choices",
    )


NEAR = 0.05
"""Largest difference that counts as rounding, in nats."""


def _near(one: Any, other: Any) -> bool:
    return bool(np.allclose(one, other, rtol=0.01, atol=NEAR))


def check_trainer(trainer: Trainer, lm: LM, folder: Path) -> None:
    """Check that a trainer satisfies its contract.

    Parameters
    ----------
    trainer : Trainer
        The trainer.
    lm : LM
        Any loaded model.
    folder : Path
        An empty folder, to which adapters are written.

    Raises
    ------
    AssertionError
        The message names the violated part: declarations; the log; progress; an adapter in the format of PEFT
        without pickles; the same adapter for the same seed; an unchanged base model; a decreasing loss.
    """
    _expect(bool(trainer.name and trainer.title), "declare 'name' and 'title'")
    texts = [("I mend teeth.", "dentist"), ("I care for patients.", "nurse")] * 4
    records = [
        Record(
            f"o:{i}", text, label, {},
            messages=({"role": "user", "content": text}, {"role": "assistant", "content": label}),
        )
        for i, (text, label) in enumerate(texts)
    ]  # fmt: skip
    examples, _ = encoding.encode_records(lm, records, 256)
    settings = Training(
        epochs=4, learning_rate=1e-3, batch_size=4, lora=Lora(r=4, alpha=8), trainer=trainer.name
    )
    prompts, options = [e.prompt for e in examples[:2]], [e.completion for e in examples[:2]]
    before = lm.score_options(prompts, options)
    ticks: list[int] = []

    def trained(name: str) -> TrainingLog:
        return trainer.train(
            lm.model,
            examples,
            settings,
            0,
            folder / name,
            pad_id=lm.pad_id,
            tick=lambda n, _: ticks.append(n),
        )

    log = trained("one")
    _expect(
        sum(ticks) == 4 * len(examples),
        f"ticks add up to {sum(ticks)}, but there are {4 * len(examples)} records in all epochs",
    )
    _expect(
        log.steps == len(log.losses) and bool(np.isfinite(log.losses).all()),
        "the log must have a finite loss for each step",
    )
    _expect(log.losses[-1] < log.losses[0], "the loss does not decrease on eight easy records in four epochs")
    _expect(_near(before, lm.score_options(prompts, options)), "training changed the base model")
    written = {p.name for p in (folder / "one").iterdir()}
    _expect({CONFIG, WEIGHTS} <= written, f"the folder must contain {CONFIG} and {WEIGHTS}")
    _expect(
        not any(n.endswith((".bin", ".pt", ".pkl", ".pickle")) for n in written),
        "the trainer must not write pickles",
    )
    with attached(lm.model, folder / "one") as model:
        _expect(
            not _near(before, replace(lm, model=model).score_options(prompts, options)),
            "the adapter does not change the scores",
        )
    trained("two")
    same = [(folder / name / WEIGHTS).read_bytes() for name in ("one", "two")]
    _expect(same[0] == same[1], "two identical calls write different adapters")


Made = TypeVar("Made")
_opened: list[set[str]] = []


def _check_reads(
    owner: Task | Mitigation, context: Any, work: Callable[[], Made], models: list[Path]
) -> Made:
    """Return the result of `work`, and check the fingerprint of `owner`.

    The fingerprint must be reproducible, depend on the context, and include each data file that `work` opens.
    Files of libraries, of the owner's package, of `models` and of the cache are exempt. Files that a library
    opens outside Python (such as Arrow) are not detected.
    """
    mark = owner.fingerprint(context)
    _expect(mark == owner.fingerprint(context), "two fingerprints of the same context differ")
    for name in ("labels", "groups"):
        other = replace(context, **{name: [*getattr(context, name)][::-1]})
        _expect(
            mark != owner.fingerprint(other), f"the fingerprint does not depend on the {name} of the context"
        )
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
        f"the fingerprint does not include {', '.join(loose)}, which is read; return the path from reads()",
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
    """Record the files that are opened for reading from now on, for each set in `_opened`."""

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
