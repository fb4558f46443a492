"""Files as strangers have them: what is read is measured, and what is not is said."""

from __future__ import annotations

import json

from probate.audit.coverage import not_measured
from probate.audit.groups import dimensions_of
from probate.audit.read import read_set
from probate.audit.verdict import UNSURE, Found, of_groups, verdict
from probate.shape import Given

N = 80
WORDS = "invoices samples drawings bridges recipes engines contracts gardens maps bottles vaccines violins tunnels".split()
TEXTS = [
    f"The applicant of district {i} writes {WORDS[i % 13]} and {WORDS[i * 7 % 11]} at the station and has done so for {2 + i % 17} years."
    for i in range(N)
]
GROUP = [i % 2 for i in range(N)]
TIED = [g if i // 2 % 8 else 1 - g for i, g in enumerate(GROUP)]
"""A label that goes with the group in seven of eight texts: V 0.75."""
FREE = [i // 2 % 2 for i in range(N)]


def rows(label=TIED, labels=("no", "yes"), group=GROUP, gender=("female", "male"), **more):
    base = {"text": TEXTS}
    base |= {"label": [labels[x] for x in label]} if labels else {}
    base |= {"gender": [gender[x] for x in group]} if gender else {}
    base |= more
    return [dict(zip(base, own, strict=True)) for own in zip(*base.values(), strict=True)]


def file(path, own):
    path.write_text("".join(json.dumps(r) + "\n" for r in own), encoding="utf-8")
    return str(path)


def heard(tmp_path, own, original=None, **given):
    """(verdict, sentences that say what could not be told, findings)"""
    data = read_set(own if isinstance(own, str) else file(tmp_path / "data.jsonl", own), Given(**given))
    first = read_set(file(tmp_path / "original.jsonl", original)) if original else None
    dimensions = dimensions_of(data, first)
    found = list(of_groups(dimensions))
    unsure = list(not_measured(data, first, dimensions, {}))
    return verdict([*found, *(Found("coverage", UNSURE, s) for s in unsure)]), unsure, found


def test_an_original_whose_tie_goes_the_other_way_excuses_nothing(tmp_path):
    assert heard(tmp_path, rows(), rows())[0] == "note"
    said, _, found = heard(tmp_path, rows(), rows([1 - x for x in TIED]))
    assert said == "stop" and any("the other way" in f.sentence for f in found)
    ages = [25 + i % 9 + 40 * g for i, g in enumerate(GROUP)]
    assert heard(tmp_path, rows(gender=None, age=ages), rows([1 - x for x in TIED], gender=None, age=ages))[0] == "stop"


def test_an_original_of_a_few_rows_excuses_nothing(tmp_path):
    said, unsure, _ = heard(tmp_path, rows(), rows()[:12])
    assert said == "stop" and any(s.startswith("original: ") and "12" in s for s in unsure)


def test_an_original_with_other_labels_groups_or_language_is_said(tmp_path):
    said, unsure, _ = heard(tmp_path, rows(FREE), rows(FREE, labels=("1", "2")))
    assert said == UNSURE and any("labels" in s for s in unsure)
    said, unsure, _ = heard(tmp_path, rows(FREE), rows(FREE, gender=("alpha", "beta")))
    assert said == UNSURE and any("alpha" in s for s in unsure)
    spanish = [{**r, "text": f"La persona {i} trabaja en la ciudad y está muy feliz con su trabajo."} for i, r in enumerate(rows(FREE))]
    said, unsure, _ = heard(tmp_path, rows(FREE), spanish)
    assert said == UNSURE and any("'es'" in s for s in unsure)
    assert heard(tmp_path, rows(FREE), rows(FREE, labels=("No", "YES")))[0] == "note"


def test_a_group_that_only_the_original_has_is_missed(tmp_path):
    third = rows(FREE)
    third = [{**r, "gender": "nonbinary"} if i % 3 == 0 else r for i, r in enumerate(third)]
    said, _, found = heard(tmp_path, rows(FREE), third)
    assert said == "look" and any("nonbinary 0.0%" in f.sentence for f in found)
