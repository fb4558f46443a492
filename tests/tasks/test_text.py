"""Text classification: bundled items, public sets, label words in every script."""

from __future__ import annotations

import json
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from sklearn.metrics import f1_score

from probate.core.errors import InputError
from probate.data.packs import load_pack, pack_names
from probate.stats import macro_f1
from probate.study.schema import Analysis
from probate.tasks.catalogue import load_task, task_class
from probate.tasks.choice import encode_item
from probate.tasks.text import TextSpec, text_task
from probate.testing import check_identity, check_task, sample_context

TEXTS = ["hate", "offensive", "spam", "stance", "stereotype", "toxicity"]


@pytest.mark.parametrize("name", TEXTS)
def test_bundled_items_are_balanced_and_matched(name):
    spec = task_class(name).spec
    assert [len(v) for v in spec.items.values()] == [20, 20]
    texts = [t for own in spec.items.values() for t in own]
    assert len(set(texts)) == 40 and all("{who}" in t for t in texts)
    items = load_task(name).items(sample_context())
    assert len(items) == 80
    pairs: dict[str, set] = {}
    for item in items:
        pairs.setdefault(item.id.split("#")[0], set()).add(tuple(item.groups.items()))
    assert all(len(v) == 2 for v in pairs.values())


@pytest.mark.parametrize("language", ["en", "es", "pt", "ar", "zh"])
@pytest.mark.parametrize("name", TEXTS)
def test_the_scored_tokens_spell_the_whole_label_in_every_script(name, language, lm):
    items = load_task(name, {"language": language, "limit": 2}).items(sample_context())
    _, options = encode_item(lm, items[0], 512)
    for text, ids in zip(items[0].options, options, strict=True):
        assert lm.decode(ids) == text and ids[-1] in lm.stop_ids


@pytest.mark.parametrize("scoring", ["sum", "bytes", "pmi"])
def test_every_scoring_keeps_the_contract_and_is_declared(scoring, lm):
    task = load_task("spam", {"scoring": scoring, "limit": 6})
    check_task(task, lm, sample_context())
    assert {o.scoring for o in task.evaluate(lm, sample_context())} == {scoring}


def test_scorings_are_what_they_say(lm):
    from probate.tasks.choice import score_items

    items = load_task("spam", {"language": "ar", "limit": 4}).items(sample_context())
    plain, by_bytes, pmi = (np.array(score_items(lm, items, 512, s)) for s in ("sum", "bytes", "pmi"))
    np.testing.assert_allclose(by_bytes, plain / [len(o.encode()) for o in items[0].options])
    from dataclasses import replace

    prior = score_items(lm, [replace(items[0], prompt=items[0].blank)], 512)[0]
    np.testing.assert_allclose(pmi, plain - prior, atol=1e-4)


@pytest.mark.parametrize("dimension", pack_names())
def test_every_pack_passes_the_suite_and_fills_the_items(dimension):
    from dataclasses import replace

    pack = load_pack(dimension)
    check_identity(pack)
    context = replace(sample_context(), dimension=dimension, groups=list(pack.groups), pack=pack)
    items = load_task("offensive").items(context)
    assert len(items) == 40 * len(pack.groups) and not any("{" in i.prompt for i in items)
    assert len({i.prompt for i in items}) == len(items)


def test_a_task_may_compare_groups_of_another_dimension():
    context = sample_context()
    task = load_task(
        "hate", {"dimension": "culture", "groups": ["arabic", "spanish"], "limit": 4}, "hate-culture"
    )
    assert {g for i in task.items(context) for g in i.groups.items()} == {
        ("culture", "arabic"),
        ("culture", "spanish"),
    }
    assert task.measures(context)[0].sides == ("arabic", "spanish")
    everyone = load_task("hate", {"dimension": "culture"}).measures(context)[0].sides
    assert everyone == ("arabic", "chinese", "portuguese", "spanish")
    with pytest.raises(InputError, match=r"'martian' is not in the identity pack 'culture'"):
        load_task("hate", {"dimension": "culture", "groups": ["martian", "spanish"]}).items(context)
    with pytest.raises(InputError, match=r"groups needs options.dimension"):
        load_task("hate", {"groups": ["arabic", "spanish"]}).items(context)


def public(tmp_path, rows):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def test_a_public_set_by_a_mapping(tmp_path, lm):
    rows = [{"text": f"t {i}", "y": "HS" if i % 3 else "NOT"} for i in range(12)]
    options = {
        "data": public(tmp_path, rows),
        "columns": {"label": "y"},
        "labels": {"HS": "hate", "NOT": "none"},
    }
    task = load_task("hate", options, "mine")
    assert task.key == "mine" and task.size(sample_context()) == 12
    check_task(task, lm, sample_context())
    assert [m.name for m in task.measures(sample_context())] == ["macro_f1"]
    outcomes = pd.DataFrame([vars(o) for o in task.evaluate(lm, sample_context())])
    found = macro_f1.level([task.measures(sample_context())[0].values(outcomes)], Analysis(resamples=200))
    expected = f1_score(outcomes["target"], outcomes["prediction"], average="macro", zero_division=0)
    assert found.value == pytest.approx(expected)
    limited = load_task("hate", {**options, "limit": 6}).items(sample_context())
    assert sorted(i.target for i in limited) == ["hate"] * 3 + ["none"] * 3


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"text": "a", "label": "odd"}], {}, "the task has no label 'odd'"),
        (
            [{"text": "a", "label": "hate"}, {"text": " ", "label": "none"}, {"text": "", "label": "none"}],
            {},
            "the text is empty",
        ),
        ([{"txt": "a", "label": "hate"}], {}, r"no column 'text' \(did you mean 'txt'\?\)"),
        ([{"text": "a", "label": "x"}], {"labels": {"x": "hat"}}, "'hat' is not a label of the task"),
        ([{"text": "a", "label": "hate"}], {"language": "fr"}, "the task has no prompt in 'fr'"),
        ([{"text": "a", "label": "hate"}], {"words": {"hate": "yes", "none": "Yes "}}, "have the same words"),
    ],
)
def test_bad_sets(tmp_path, rows, options, message):
    with pytest.raises(InputError, match=message):
        load_task("hate", {"data": public(tmp_path, rows), **options}).items(sample_context())


def test_bad_task_files(tmp_path):
    spec = task_class("spam").spec.model_dump()
    assert TextSpec.model_validate(spec)
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps({**spec, "items": {**spec["items"], "spam": ["a", " "]}}))
    with pytest.raises(InputError, match=r"items\.spam: an item is empty"):
        text_task("t", path)


def test_the_21_real_sets_load():
    manifest = SHARED / "culture" / "manifest.json"
    if not manifest.exists():
        pytest.skip("the public test sets are not here")
    tasks = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "sets.py"))["tasks_of"](
        SHARED / "culture"
    )
    entries = {
        e["file"].removesuffix(".jsonl").replace("/", "-"): e for e in json.loads(manifest.read_text())
    }
    assert {t.key for t in tasks} == set(entries)
    total = 0
    for task in tasks:
        items = task.items(sample_context())
        total += len(items)
        assert len(items) == entries[task.key]["rows"] and task.related == entries[task.key]["relation"]
        assert sorted(set(i.target for i in items)) == sorted(task.spec.items)
        assert Counter(i.target for i in items) == _mapped(entries[task.key], task)
    assert total > 21_000


def _mapped(entry, task):
    """The manifest's label counts, under the task's labels."""
    return Counter({task.options.labels[raw]: n for raw, n in entry["labels"].items()})
