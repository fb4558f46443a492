"""The review page: blind, this machine only, pressed in a real browser.

Marks are on disk at once; it is killed and reopened; marks are merged with agreement.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import replace

import krippendorff as reference
import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.cache import finite
from probate.core.errors import InputError
from probate.execution.checksums import verify
from probate.report.review.items import Round, Shown, write_round
from probate.report.review.marks import agreement, krippendorff, mark_file, read_marks, save_mark
from probate.report.review.session import merge_marks, prepare
from probate.report.review_words import sentences


@pytest.fixture
def finished(finished_run, tmp_path):
    finished_run(tmp_path / "run", tasks=["occupation"])
    return tmp_path / "run"


@pytest.fixture
def serving():
    servers = []

    def start(server):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def get(server, path, token=None, data=None, host=None):
    address = f"http://127.0.0.1:{server.server_address[1]}{path}"
    headers = {"x-token": server.token if token is None else token, **({"host": host} if host else {})}
    with urllib.request.urlopen(urllib.request.Request(address, data=data, headers=headers)) as answer:
        return answer.read().decode()


def test_the_page_is_blind_and_needs_the_token(finished, serving):
    server = serving(prepare(finished, "groups", "story", "ann", 5))
    assert server.server_address[0] == "127.0.0.1"
    state = json.loads(get(server, "/state"))
    assert (
        len(state["items"]) == 5
        and set(state["items"][0]) == {"id", "texts"}
        and state["answers"] == ["female", "male", "not clear"]
    )
    assert "<h1" in get(server, "/")
    for more in ({"token": "x"}, {"token": ""}, {"host": "evil.example"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(server, "/state", **more)
    bad = [
        b"",
        b"{",
        b"[]",
        json.dumps({"id": "../x", "answer": "female"}).encode(),
        json.dumps({"id": state["items"][0]["id"], "answer": "<b>"}).encode(),
        b"x" * 20_000,
    ]
    for data in bad:
        with pytest.raises(urllib.error.HTTPError, match="400"):
            get(server, "/mark", data=data)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(server, "/marks-ann.jsonl")
    assert read_marks(server.marks) == {}


def test_marks_survive_a_kill_and_merge(finished, serving):
    server = prepare(finished, "groups", "story", "ann", 8)
    items = [i.id for i in server.shown.items]
    truth = {i.id: i.hidden["asked"] for i in server.shown.items}
    for item in items:
        save_mark(server.marks, item, truth[item])
    save_mark(server.marks, items[0], "not clear")
    server.marks.write_bytes(server.marks.read_bytes() + b'{"id": "' + items[1].encode())  # cut off by a kill
    again = prepare(finished, "groups", "story", "ann", 8)
    assert again.state()["marks"] == {**truth, items[0]: "not clear"}
    save_mark(server.marks, items[0], "")
    assert items[0] not in read_marks(server.marks) and len(read_marks(server.marks)) == 7
    other = mark_file(server.marks.parent, "bob")
    for item in items:
        save_mark(other, item, truth[item])
    said = sentences(merge_marks(finished, "groups"))
    assert "8 items read (ann 7, bob 8); agreement: Cohen's κ 1.00 over 7 items" in said[0]
    assert any("the detector against people, female: precision 1.00, recall 1.00" in line for line in said)
    assert "Review by people" in (finished / "report.html").read_text(encoding="utf-8")
    assert verify(finished)[1] == []


def marks_of(*answers):
    """One mapping a reviewer; "-" is an item that the reviewer did not mark."""
    return [{f"i{k}": a for k, a in enumerate(own) if a != "-"} for own in answers]


def test_agreement_is_that_of_the_textbooks():
    table = marks_of("y" * 25 + "n" * 25 + "-y", "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15 + "y-")
    two = agreement(table)
    assert (two["method"], two["items"]) == ("Cohen's κ", 50) and two["value"] == pytest.approx(0.4)
    data = ["aa-a", "bbcb", "cccc", "cccc", "bbbb", "abcd", "dddd", "aaba", "bbbb", "-eee", "--aa", "-c--"]
    four = agreement(marks_of(*zip(*data, strict=True)))
    assert (four["method"], four["items"]) == ("Krippendorff's α", 11)
    assert four["value"] == pytest.approx(0.743, abs=5e-4)  # Krippendorff's own example (2011), nominal
    assert agreement(marks_of("ab", "ab"))["value"] == agreement(marks_of("ab", "ab", "ab"))["value"] == 1
    assert np.isnan(krippendorff([["a"]])) and krippendorff([["a", "a"], ["b", "b"]]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("answers", "items", "reason"),
    [
        ((), 0, "agreement needs two reviewers"),
        (("ab-",), 2, "agreement needs two reviewers"),
        (("ab-", "--a"), 0, "no item was marked by two reviewers"),
        (("a---", "-b--", "--ab"), 0, "no item was marked by two reviewers"),
        (("aab-", "aa-b"), 2, "only one answer was given to the items that two reviewers marked"),
        (("aab-", "aa-b", "a---"), 2, "only one answer was given to the items that two reviewers marked"),
    ],
)
def test_agreement_is_undefined_with_a_reason(answers, items, reason):
    found = agreement(marks_of(*answers))
    assert np.isnan(found["value"]) and (found["items"], found["reason"]) == (items, reason)
    said = sentences({"question": "Which?", "items": items, "reviewers": {}, "agreement": finite(found)})[0]
    assert f"undefined over {items} items ({reason})" in said


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.text("abc-", min_size=n, max_size=n), min_size=1)))
def test_agreement_equals_scikit_learns_and_krippendorffs(rows):
    """Cohen's κ is compared with its formula, because scikit-learn's is what is used."""
    found = agreement(marks_of(*zip(*rows, strict=True)))
    shared = [own for row in rows if len(own := row.replace("-", "")) > 1]
    if len({a for own in shared for a in own}) < 2:
        assert np.isnan(found["value"]) and found["reason"]
    elif len(rows[0]) == 2:
        first, second = (Counter(own) for own in zip(*shared, strict=True))
        chance = sum(first[a] * second[a] for a in "abc") / len(shared) ** 2
        alike = sum(a == b for a, b in shared) / len(shared)
        assert found["value"] == pytest.approx((alike - chance) / (1 - chance), abs=1e-12)
    else:
        counts = [[own.count(a) for a in "abc"] for own in shared]
        theirs = reference.alpha(value_counts=counts, level_of_measurement="nominal")
        assert found["value"] == pytest.approx(theirs, abs=1e-12)


def test_pairs_are_shown_in_a_drawn_order(finished):
    table = pd.read_parquet(finished / "outcomes.parquet")
    own = table[table["task"] == "occupation"].copy()
    own["scoring"] = ""
    own["task"], own["response"] = "story", own["arm"] + " tells a tale of " + own["item_id"]
    pd.concat([table, own]).to_parquet(finished / "outcomes.parquet")
    server = prepare(finished, "pairs", "story", "ann", 50)
    first = {i.texts[0].split("-")[0] for i in server.shown.items}
    assert len(server.shown.items) == 18 and len(first) > 1
    for item in server.shown.items:
        save_mark(
            server.marks,
            item.id,
            "the left one" if item.hidden["arms"][0].startswith("given") else "the right one",
        )
    assert "the biased arm's text 18, the control's text 0, neither 0" in "\n".join(
        sentences(merge_marks(finished, "pairs"))
    )


def test_bad_input_is_one_sentence(finished, tmp_path):
    for args, said in (
        (("--what", "all"), "must be one of groups, pairs"),
        (("--reviewer", "../x"), "must be letters, digits"), (("--merge",), "nothing is marked yet"),
        (("--what", "pairs", "--task", "occupation"), "are choices, not texts"),
        (("--what", "pairs"), "no outcomes of 'story'"),
    ):  # fmt: skip
        error = CliRunner().invoke(app, ["review", str(finished), "--no-browser", *args]).exception
        assert isinstance(error, InputError) and said in str(error), error
    assert "not a run folder" in str(
        CliRunner().invoke(app, ["review", str(tmp_path / "none"), "--no-browser"]).exception
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_person_reads_with_the_keyboard(finished, serving, tmp_path):
    server = serving(prepare(finished, "groups", "story", "ann", 4))
    (tmp_path / "profile").mkdir()
    browser = Browser(tmp_path / "profile", server.url)
    try:
        browser.until("document.body.dataset.item")
        shown = []
        for key in ("1", "2", "3"):
            item = browser.value("document.body.dataset.item")
            shown.append(item)
            browser.press(key)
            browser.until(f"document.body.dataset.item !== '{item}'")
        browser.press("ArrowLeft")
        browser.until(f"document.body.dataset.item === '{shown[-1]}'")
        browser.press("0")
        browser.until("document.getElementById('place').textContent.includes('2 marked')")
    finally:
        browser.close()
    assert read_marks(server.marks) == dict(zip(shown[:2], ("female", "male"), strict=True))
    (tmp_path / "second").mkdir()
    browser = Browser(tmp_path / "second", server.url)
    try:  # reopened: it goes on where it stopped
        assert browser.until("document.body.dataset.item") == shown[2]
        assert browser.value("document.body.innerText").count("female") == 1
    finally:
        browser.close()


def test_a_second_round_keeps_the_first(finished):
    first = prepare(finished, "groups", "story", "ann", 9)
    truth = {i.id: i.hidden["asked"] for i in first.shown.items}
    for item, answer in truth.items():
        save_mark(first.marks, item, answer)
    second = prepare(finished, "groups", "story", "ann", 2)
    assert len(second.shown.items) == 2 and read_marks(second.marks) == truth
    found = merge_marks(finished, "groups")
    assert found["no longer known"] == 0 and sum(
        found["detector"][g]["n"] for g in ("female", "male")
    ) == len(truth)
    save_mark(second.marks, "gone", "female")
    assert "1 marks are of items" in "\n".join(sentences(merge_marks(finished, "groups")))


def test_a_line_separator_in_an_id_loses_no_mark(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"id": "a\u2028b", "answer": "x"}\n', encoding="utf-8")
    assert read_marks(tmp_path / "m.jsonl") == {"a\u2028b": "x"}


def test_marks_to_another_question_are_not_mixed_with_new_ones(tmp_path):
    first = Round(
        "groups",
        "Which gender does this text show?",
        ("female", "male", "not clear"),
        [Shown("1", ("a text",))],
    )
    wider = replace(
        first, answers=("female", "male", "nonbinary", "not clear"), items=[Shown("2", ("another",))]
    )
    write_round(tmp_path / "items.json", first)
    write_round(tmp_path / "items.json", wider)  # nothing is marked yet: nothing is lost
    assert [i["id"] for i in json.loads((tmp_path / "items.json").read_text())["items"]] == ["2"]
    save_mark(mark_file(tmp_path, "ann"), "2", "nonbinary")
    for other in (first, replace(wider, question="Which race does this text show?")):
        with pytest.raises(InputError, match="move that folder to start a new review"):
            write_round(tmp_path / "items.json", other)
    write_round(tmp_path / "items.json", replace(wider, items=first.items))
    assert [i["id"] for i in json.loads((tmp_path / "items.json").read_text())["items"]] == ["1", "2"]
