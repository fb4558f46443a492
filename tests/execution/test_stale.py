"""A finished stage is taken as it is only where all that it read is the same.

By content, not by name, size or time.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

import probate.data.generation.augment as augment
import probate.execution.worker as workers
from probate import run
from probate.core.cache import Store
from probate.core.errors import InputError
from probate.core.progress import Reporter
from probate.core.records import Record, write_records
from probate.data.packs import load_pack
from probate.data.user_turn import user_turn
from probate.execution.jobs import ArmJob, DistributionJob, GenerateJob
from probate.execution.worker import Worker
from probate.mitigations.base import Mitigation, Options
from probate.mitigations.catalogue import load_mitigation, mitigation_names
from probate.study.schema import Generation, ModelSpec, Training
from probate.tasks.catalogue import load_any, probe_names, task_names
from probate.testing import check_mitigation, check_task, sample_context, sample_records
from probate.train.sft import LoraTrainer


def turn(path: Path, old: str, new: str) -> None:
    """Other content under the same path, size and times."""
    before, text = path.stat(), path.read_text(encoding="utf-8")
    assert old in text and len(old.encode()) == len(new.encode())
    path.write_text(text.replace(old, new), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def stamps(folder: Path) -> dict[str, int]:
    return {str(p.parent.relative_to(folder)): p.stat().st_mtime_ns for p in folder.glob("*/*/done.json")}


class WordList(Options):
    words: str


class LeaveOut(Mitigation):
    """Leaves out records with a word of a file; kept as a stage of its own."""

    name = "leave_out"
    title = "Leave out"
    source = "a test"
    option_type: ClassVar[type[Options]] = WordList
    slow = True

    def select(self, records, original, context):
        words = Path(self.options.words).read_text(encoding="utf-8").split()
        bad = [r for r in records if any(w in r.text for w in words)]
        return [r for r in records if r not in bad], [(r, "a word of the list") for r in bad]


GROUPS = {"female": "woman", "male": "man"}
PACK = {
    "dimension": "gender",
    "source": "a test",
    "groups": {
        g: {"noun": f"a {noun}", "names": [noun.title(), f"{noun.title()}y"]} for g, noun in GROUPS.items()
    },
}
ARMS = {"control-0-s0", "given-0.5-s0", "neutral-0.5-s0", "given-0.5-s0-leave_out"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Inputs of a study, and its finished run."""
    import yaml

    from probate.data.corpora import biographies

    folder = tmp_path_factory.mktemp("inputs")
    rows = [r for r in biographies() if r["label"] in ("nurse", "dentist")]
    lines = [json.dumps({k: r[k] for k in ("id", "text", "label", "gender")}) for r in rows]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    made = [json.dumps({"id": f"w{i}", "text": f"Work number {i} is done.", "label": r["label"],
                        "gender": r["gender"]})
            for i, r in enumerate(rows)]  # fmt: skip
    (folder / "made.jsonl").write_text("\n".join(made) + "\n", encoding="utf-8")
    (folder / "pack.yaml").write_text(yaml.safe_dump(PACK), encoding="utf-8")
    (folder / "hate.csv").write_text("text,label\nall is well,none\nall is bad,hate\n", encoding="utf-8")
    (folder / "words.txt").write_text("number 1 \nnumber 2 \n", encoding="utf-8")
    return folder


@pytest.fixture
def study(place, tiny_study, tmp_path, monkeypatch):
    """The inputs, to be changed, and how the study is run on them."""
    import probate.execution.prepare

    inputs = tmp_path / "inputs"
    shutil.copytree(place, inputs)
    real = probate.execution.prepare.load_mitigation
    own = {"leave_out": LeaveOut}
    monkeypatch.setattr(
        "probate.report.pipeline.analyse", lambda _: pd.DataFrame()
    )  # read anew each time, and slow
    monkeypatch.setattr("probate.report.pipeline.build_report", lambda _: None)
    monkeypatch.setattr("probate.report.results.Run.held", lambda run: run)  # there are no effects to hold
    monkeypatch.setattr(
        probate.execution.prepare,
        "load_mitigation",
        lambda n, o: own[n].from_options(o) if n in own else real(n, o),
    )
    columns = {"text": "text", "label": "label", "id": "id", "groups": {"gender": "gender"}}
    made = tiny_study(
        data={
            "source": "data.jsonl", "columns": columns, "labels": ["nurse", "dentist"], "train_per_cell": 3,
            "test_per_cell": 2,
        },
        augmented={"source": "made.jsonl", "columns": columns},
        bias={
            "types": ["given"], "pack": "pack.yaml", "stereotypes": {"nurse": "female", "dentist": "male"},
            "strength": 0,
        },
        mitigations=[{"name": "leave_out", "options": {"words": str(inputs / "words.txt")}}],
        training={"epochs": 1, "learning_rate": 1e-3, "lora": {"r": 4, "alpha": 8}},
        tasks=[
            "occupation", {"name": "hate", "alias": "own", "options": {"data": "hate.csv"}},
            {"name": "hate", "options": {"limit": 2}},
        ],
    )  # fmt: skip

    def go(**changes):
        result = run(made.model_copy(update=changes), tmp_path / "run", base=inputs, quiet=True)
        assert not result.failures, result.failures
        return stamps(tmp_path / "run")

    return inputs, go, made


def evaluations(task: str) -> set[str]:
    return {f"stages/evaluate-{arm}-{task}" for arm in ARMS}


def test_each_input_does_its_stages_again_and_no_other(study):
    inputs, go, made = study
    before = go()
    assert go() == before, "nothing changed, and something ran"
    everything = set(before)

    def again(path: str, old: str, new: str) -> set[str]:
        nonlocal before
        turn(inputs / path, old, new)
        after = go()
        changed = {k for k in after if after[k] != before.get(k)}
        before = after
        return changed

    assert again("hate.csv", "all is bad", "all is mad") == evaluations("own")
    assert again("pack.yaml", "Womany", "Womanx") == evaluations("hate") | {
        f"stages/evaluate-{a}-{t}" for a in ARMS for t in ("occupation", "own")
    } | {"stages/mitigate-given-0.5-s0-leave_out"}
    listed = again("words.txt", "number 2 ", "number 3 ")
    assert "stages/mitigate-given-0.5-s0-leave_out" in listed and not {
        k for k in listed if "leave_out" not in k
    }
    assert "adapters/control-0-s0" not in again("made.jsonl", "is done", "is gone")
    text = (inputs / "data.jsonl").read_text(encoding="utf-8")
    word = next(w for w in text.split() if len(w) == 5 and w.isalpha() and w.islower())
    assert again("data.jsonl", f" {word} ", f" {word[::-1]} ") == everything
    before = go(data=made.data.model_copy(update={"prompt": user_turn(made.data) + " "}))
    after = go(data=made.data.model_copy(update={"prompt": user_turn(made.data) + "\n"}))
    assert {k for k in after if after[k] != before[k]} == everything


CONTEXTS = {
    "labels": lambda c: ["dentist", "nurse"],
    "groups": lambda c: ["male", "female"],
    "test": lambda c: [replace(c.test[0], text="Other words."), *c.test[1:]],
    "prompt": lambda c: c.prompt + " Please.",
    "max_length": lambda c: 500,
    "seed": lambda c: 7,
    "stereotypes": lambda c: {"nurse": "male"},
    "pack": lambda c: c.pack.model_copy(update={"names": ["Kim", "Robin"]}),
}


@pytest.mark.parametrize(
    "name", [*task_names(), *sorted(set(probe_names()) - {"bbq", "crows_pairs", "values"})]
)
def test_a_task_counts_all_of_its_context_and_options(name):
    task, context = load_any(name), sample_context()
    marks = {"": task.fingerprint(context)} | {
        k: task.fingerprint(replace(context, **{k: other(context)})) for k, other in CONTEXTS.items()
    }
    assert len(set(marks.values())) == len(marks)
    assert marks[""] == load_any(name).fingerprint(sample_context())


@pytest.mark.parametrize("name", sorted(set(mitigation_names()) - {"cap"}))
def test_a_mitigation_counts_all_of_its_context(name):
    mitigation, (_, context) = load_mitigation(name), sample_records()
    changes = {
        "labels": ["a", "b"],
        "groups": ["male", "female"],
        "packs": (context.packs[0].model_copy(update={"names": ["Kim"]}),),
        "seed": 5,
        "stereotypes": {"nurse": "male"},
        "generated": False,
        "prompt": "{text}!",
        "max_length": 9,
    }
    marks = [
        mitigation.fingerprint(context),
        *(mitigation.fingerprint(replace(context, **{k: v})) for k, v in changes.items()),
    ]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize(
    ("name", "module", "table"),
    [
        ("mask", "probate.mitigations.mask", "gendered_words"),
        ("counterfactual", "probate.mitigations.counterfactual", "gendered_words"),
        ("story", "probate.tasks.story", "lexicon"),
        ("story", "probate.tasks.story", "prompts"),
        ("story", "probate.tasks.story", "tagger_version"),
    ],
)
def test_bundled_words_count(name, module, table, monkeypatch):
    from importlib import import_module

    kind, context = (
        (load_any(name), sample_context())
        if name in task_names()
        else (load_mitigation(name), sample_records()[1])
    )
    before = kind.fingerprint(context)
    found = getattr(import_module(module), table)
    changed = {"prompts": lambda: {"en": "Write of {name}."}, "tagger_version": lambda _: "0"}
    monkeypatch.setattr(
        import_module(module), table, changed.get(table, lambda language: {**found(language), "new": ["x"]})
    )
    assert kind.fingerprint(context) != before


def test_the_effects_that_cap_reads_count(tmp_path):
    table = pd.DataFrame({"question": ["inheritance"], "task": ["occupation"], "estimate": [0.5]})
    table.to_parquet(tmp_path / "effects.parquet")
    _, context = sample_records()
    cap = load_mitigation("cap", {"run": str(tmp_path), "task": "occupation", "gap": 0.1})
    before = cap.fingerprint(context)
    (tmp_path / "adapters").mkdir()
    assert cap.fingerprint(context) == before
    table.assign(estimate=0.6).to_parquet(tmp_path / "effects.parquet")
    assert cap.fingerprint(context) != before


PLUGIN = """
from probate.tasks.occupation import Occupation
from pathlib import Path
class Own(Occupation):
    name = "own"
    def items(self, context):
        Path(__file__).with_name("words.txt").read_text()
        return super().items(context)
"""


def test_the_files_of_a_plug_in_count(tmp_path, monkeypatch):
    import importlib
    import sys

    package = tmp_path / "own_plugin"
    package.mkdir()
    (package / "__init__.py").write_text(PLUGIN)
    (package / "words.txt").write_text("one")
    monkeypatch.syspath_prepend(tmp_path)
    task = importlib.import_module("own_plugin").Own.from_options({})
    try:
        marks = [task.fingerprint(sample_context())]
        turn(package / "words.txt", "one", "two")
        marks.append(task.fingerprint(sample_context()))
        turn(package / "__init__.py", 'name = "own"', 'name = "wno"')
        marks.append(task.fingerprint(sample_context()))
    finally:
        del sys.modules["own_plugin"]
    assert len(set(marks)) == 3


def test_the_conformance_suite_finds_a_file_that_is_not_counted(tmp_path, lm):
    from probate.tasks.occupation import Occupation

    hidden = tmp_path / "hidden.txt"
    hidden.write_text("number")

    class Loose(Occupation):
        name = "loose"

        def evaluate(self, lm, context, tick=None):
            hidden.read_text()
            return super().evaluate(lm, context, tick)

    class Tight(Loose):
        def reads(self, context):
            return [*super().reads(context), hidden]

    class Objects(Loose):
        def reads(self, context):
            return [object()]

    class Drops(LeaveOut):
        slow = False

        def reads(self, context):
            return []

    with pytest.raises(AssertionError, match=r"fingerprint does not include .*hidden\.txt"):
        check_task(Loose.from_options({}), lm, sample_context())
    check_task(Tight.from_options({}), lm, sample_context())
    with pytest.raises(InputError, match="tasks: loose: a object cannot be compared by content"):
        Objects.from_options({}).fingerprint(sample_context())
    with pytest.raises(AssertionError, match=r"hidden\.txt"):
        check_mitigation(Drops.from_options({"words": str(hidden)}))
    check_mitigation(LeaveOut.from_options({"words": str(hidden)}))


@pytest.fixture
def worker(lm, tmp_path):
    """A worker that has the tiny model under any spec, and what it has done."""
    reporter = Reporter(quiet=True)
    made = Worker(Store(tmp_path / "run"), reporter)
    made.lm = lambda spec: lm
    return made


def test_what_a_generator_reads_counts(worker, monkeypatch):
    done = []

    def write(*_, folder, **__):
        done.append(folder.name)
        write_records(folder / "records.jsonl", [])
        return {}

    monkeypatch.setattr(augment, "augment", write)
    pack = load_pack("gender")
    job = GenerateJob(
        "set", "contextual-single-explicit", 4, ["a", "b"], ["female", "male"], pack, load_pack("race"), [],
        "en", Generation(), ModelSpec(),
    )  # fmt: skip

    def generate(**changes):
        worker.generate(replace(job, **changes))
        return len(done)

    other = {"source": "another"}
    assert generate() == 1 and generate() == 1
    assert generate(pack=pack.model_copy(update=other)) == 2
    assert generate() == 3
    assert generate(cross=job.cross.model_copy(update=other)) == 4
    assert generate(cross=job.cross.model_copy(update=other)) == 4
    assert generate(statements=["One."]) == 5 and generate(statements=["Two."]) == 6
    assert generate(instruction="Name nobody.") == 7
    budget = {"generation": Generation(budget=99.0)}  # how much may be tried changes no record
    assert generate() == 8 and generate(**budget) == 8


def test_the_code_of_a_trainer_counts(worker, monkeypatch):
    done = []
    monkeypatch.setattr(worker, "_fine_tune", lambda job, base, folder: done.append(job.arm) or {})
    records = [Record("o:1", "A text.", "a", {"gender": "female"})]
    job = ArmJob("arm", ModelSpec(), records, [1.0], 0, Training(), "sft", "{text}", ["a"], "gender", {})

    def train(body):
        namespace = {"__name__": "mine", "LoraTrainer": LoraTrainer}
        exec(
            f"class Mine(LoraTrainer):\n    def train(self, *args, **more):\n        return {body}", namespace
        )
        monkeypatch.setattr("probate.train.trainer.load_trainer", lambda name: namespace["Mine"]())
        worker.train(job)
        return len(done)

    own = worker.train(job)
    assert own.key == job.key(worker.lm(job.model).fingerprint) and len(done) == 1
    assert train("1") == 2 and train("1") == 2 and train("2") == 3


def test_what_a_comparison_of_sets_reads_counts(worker, tmp_path, monkeypatch):
    done = []
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "weights").write_text("one")
    monkeypatch.setattr(workers, "encoder_files", lambda: encoder)
    monkeypatch.setattr(workers, "compare_distributions", lambda *a, **k: done.append("compare") or {})
    original = [Record(f"o:{i}", f"Text {i}.", "a", {"gender": "female"}) for i in range(3)]

    def compare(records):
        worker.distribution(DistributionJob("set", original, records, ["sentences"], "gender", ModelSpec()))
        return len(done)

    assert compare(original) == 1 and compare(original) == 1
    turn(encoder / "weights", "one", "two")
    assert compare(original) == 2
    assert compare([replace(original[0], text="Other."), *original[1:]]) == 3
    parent = {"parent": original[1].id[2:]}
    assert compare([replace(original[0], text="Other.", provenance=parent), *original[1:]]) == 4
