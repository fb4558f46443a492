"""The conformance suites that all plug-ins of Probate pass; plug-in authors call them from their own tests.

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
        values = measure.values(table)
        columns = {"mean": ["value"], "macro_f1": ["target", "prediction"]}[measure.statistic]
        _expect(
            list(values.columns) == ["item_id", "side", *columns],
            f"{measure.name}: columns must be item_id, side, {', '.join(columns)}",
        )
        _expect(
            set(values["side"]) <= set(range(len(measure.sides))),
            f"{measure.name}: a side that is not declared",
        )
        _expect(bool(values[columns].notna().all(axis=None)), f"{measure.name}: a value is missing")
        unparsed = measure.values(table.assign(parsed=False))
        _expect(unparsed.empty, f"{measure.name}: unparsed outcomes must be left out")
    primary = next(m for m in measures if m.primary)
    _expect(
        not table["parsed"].all() or set(primary.values(table)["side"]) == set(range(len(primary.sides))),
        "the primary measure does not see every group in a balanced context",
    )
    if isinstance(task, ChoiceTask):
        _check_choices(task, lm, context)


def check_probe(probe: Task, lm: LM, context: TaskContext) -> None:
    """Check that `probe` keeps the contract: that of a task (`check_task`), and items of its own.

    Raises:
        AssertionError: what it breaks.
    """
    check_task(probe, lm, context)
    swapped = replace(context, stereotypes={label: list(context.groups) for label in context.labels})
    _expect(
        [o.item_id for o in probe.evaluate(lm, context)] == [o.item_id for o in probe.evaluate(lm, swapped)],
        "its items depend on the study's stereotypes; a probe has items of its own",
    )


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


def check_identity(pack: Pack) -> None:
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
    result = _check_reads(mitigation, context, lambda: mitigate(records, [mitigation], context), [])
    _expect(
        [r for r in result.records if r.origin == "original"] == original,
        "an original record was changed or moved",
    )
    _expect(
        mitigate(original, [mitigation], context).records == original,
        "original records alone must stay as they are",
    )
    _expect(mitigate([], [mitigation], context).records == [], "no records must give no records")
    ids = [r.id for r in result.records]
    _expect(len(set(ids)) == len(ids), "two records have one id")
    lost = set(before) - set(ids) - {r.id for r, why in result.dropped if why}
    _expect(not lost, f"records are gone without a reason: {', '.join(sorted(lost))}")
    for r in result.records:
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
    _expect(len(result.weights) == len(result.records), "as many weights as records")
    _expect(
        all(w > 0 for w in result.weights),
        "a weight must be above 0; leave a record out with a reason instead",
    )
    _expect(result == mitigate(records, [mitigation], context), "two calls on the same records differ")
    if mitigation.removes_groups:
        pack = context.packs[0].only(context.groups)
        shown = detect([r.text for r in result.records if r.origin == "augmented"], pack)
        _expect(set(shown) <= {UNCLEAR}, "removes_groups, but an augmented text still shows a group")
    if mitigation.idempotent:
        again = mitigate(result.records, [mitigation], context)
        _expect(
            [r.text for r in again.records] == [r.text for r in result.records],
            "idempotent, but doing it twice differs",
        )


def check_backend(backend: Backend, spec: ModelSpec) -> None:
    """Check that `backend` keeps the contract, on the model of `spec`.

    Raises:
        AssertionError: what it breaks: declarations, a tokenizer with a chat template, facts, scores (shapes, bounds, the chain rule,
            independence of the other prompts, progress), answers (length, ends, seeds, saving and leaving out of batches), and the two against each other.
    """
    _expect(bool(backend.name and backend.title), "declare 'name' and 'title'")
    lm = lm_of(backend, spec)
    _expect(lm.context > 0, "context must be above 0")
    facts = backend.facts(lm.model)
    _expect(bool(facts.dtype and facts.device), "facts must give a dtype and a device")
    _expect(
        lm.fingerprint == lm_of(backend, spec).fingerprint, "loading a model twice gives two fingerprints"
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
    _expect([len(s) for s in scores] == [len(o) for o in options], "one score for each option of each prompt")
    _expect(all(s.dtype == np.float64 for s in scores), "scores must be float64")
    _expect(
        all(bool(np.isfinite(s).all() and (s <= 0).all()) for s in scores), "a score must be in (-inf, 0]"
    )
    _expect(sum(ticks) == len(prompts), f"ticks add up to {sum(ticks)}, there are {len(prompts)} prompts")
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
        "score_options must give an array of prompts x options",
    )
    _expect(_near(table[1], scores[1]), "score_options and score_choices differ")


def _check_answers(lm: LM, prompts: list[list[int]]) -> None:
    places: list[int] = []
    given: dict[str, Any] = {"max_new_tokens": 8, "temperature": 1.0}
    answers = lm.generate(prompts, [1, 2, 3], done=lambda batch, _: places.extend(batch), **given)
    _expect(len(answers) == len(prompts), "one answer to each prompt")
    _expect(sorted(places) == list(range(len(prompts))), "done must be told of each prompt once")
    _expect(all(len(a) <= 8 for a in answers), "an answer is longer than max_new_tokens")
    _expect(not any(set(a) & set(lm.stop_ids) for a in answers), "an answer holds the token that ended it")
    _expect(answers == lm.generate(prompts, [1, 2, 3], **given), "the same seeds give other answers")
    left = lm.generate(prompts, [1, 2, 3], skip=lambda batch: True, **given)
    _expect(left == [[], [], []], "a batch for which skip is true must be left out")
    greedy = lm.generate(prompts[:1], [0], max_new_tokens=1, temperature=0)[0]
    others = [[i] for i in range(0, len(lm.tokenizer), max(1, len(lm.tokenizer) // 200))]
    likeliest = [greedy] if greedy else [[i] for i in lm.stop_ids]
    scores = lm.score_choices(prompts[:1], [[*likeliest, *others]])[0]
    best = float(scores[: len(likeliest)].max())
    _expect(
        best >= float(scores.max()) - NEAR, "at temperature 0 the token is not the likeliest by score_choices"
    )


NEAR = 0.05
"""Largest difference in nats that counts as rounding."""


def _near(one: Any, other: Any) -> bool:
    return bool(np.allclose(one, other, rtol=0.01, atol=NEAR))


def check_trainer(trainer: Trainer, lm: LM, folder: Path) -> None:
    """Check that `trainer` keeps the contract. `folder`: an empty one, to write adapters to.

    Raises:
        AssertionError: what it breaks: declarations, the log, progress, an adapter in PEFT's own format without pickles, the same
            adapter for the same seed, a base model that comes back as it was, and a loss that falls.
    """
    _expect(bool(trainer.name and trainer.title), "declare 'name' and 'title'")
    texts = [("I mend teeth.", "dentist"), ("I care for patients.", "nurse")] * 4
    records = [
        Record(f"o:{i}", text, label, {}, messages=({"role": "user", "content": text}, {"role": "assistant", "content": label}))
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
        f"ticks add up to {sum(ticks)}, there are {4 * len(examples)} records in all epochs",
    )
    _expect(
        log.steps == len(log.losses) and bool(np.isfinite(log.losses).all()),
        "the log needs a finite loss for each step",
    )
    _expect(log.losses[-1] < log.losses[0], "the loss does not fall on eight easy records in four epochs")
    _expect(_near(before, lm.score_options(prompts, options)), "the base model is not as it was")
    written = {p.name for p in (folder / "one").iterdir()}
    _expect({CONFIG, WEIGHTS} <= written, f"the folder must hold {CONFIG} and {WEIGHTS}")
    _expect(
        not any(n.endswith((".bin", ".pt", ".pkl", ".pickle")) for n in written),
        "nothing that is written may be a pickle",
    )
    with attached(lm.model, folder / "one") as model:
        _expect(
            not _near(before, replace(lm, model=model).score_options(prompts, options)),
            "the adapter changes nothing",
        )
    trained("two")
    same = [(folder / name / WEIGHTS).read_bytes() for name in ("one", "two")]
    _expect(same[0] == same[1], "the same call writes another adapter")


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
