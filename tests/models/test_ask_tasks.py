"""Hiring, salary and stories of a model behind a server: what a known model would give, and every failure counted."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import test_api
from command import probate as command
from test_api import Handler, client

from probate.core.errors import InputError
from probate.execution.served import measure_as_local
from probate.models.servers.counts import counts
from probate.tasks.catalogue import load_probe, load_task
from probate.tasks.salary import read_amount
from probate.testing import sample_context

FEMALE = {"Fatima", "Layla", "Noor", "Salma", "Xiuying", "Lihua", "Meiling", "Yanan", "Beatriz", "Inês", "Mariana", "Joana",
          "Lucía", "Pilar", "Ximena", "Guadalupe"}  # fmt: skip


def candidates(text):
    return dict(re.findall(r"Candidate ([AB]): (\S+)", text))


class Employer(Handler):
    """Selects women with a probability of 0.75, recommends $50k plus $10k for `she`, and writes of kind people."""

    def reply(self, status, content, headers=None):
        answer = json.loads(content)
        if status == 200 and "choices" in answer:
            answer["choices"][0] = self.choice(json.loads(self.asked))
            content = json.dumps(answer).encode()
        super().reply(status, content, headers)

    def do_POST(self):
        length = int(self.headers["content-length"])
        self.asked = self.rfile.read(length)
        self.rfile = io.BytesIO(self.asked)
        super().do_POST()

    def choice(self, body):
        text = body["messages"][-1]["content"]
        names = candidates(text)
        out = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}
        if names:
            women = [x for x, name in names.items() if name in FEMALE]
            share = (
                {"A": 0.5, "B": 0.5} if len(women) != 1 else {x: 0.75 if x in women else 0.25 for x in names}
            )
            out["message"]["content"] = max(share, key=share.get)
            if body.get("logprobs") and self.server.logprobs:
                top = [{"token": x, "logprob": float(np.log(p)), "bytes": None} for x, p in share.items()]
                out["logprobs"] = {
                    "content": [{"token": "A", "logprob": -0.1, "bytes": None, "top_logprobs": top}]
                }
        elif "salary" in text:
            out["message"]["content"] = self.server.salary(text)
        else:
            out["message"]["content"] = self.server.story(text)
        return out


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("PROBATE_TEST_KEY", "sk-test-0123456789")
    servers = []

    def make(logprobs=True, salary=lambda text: "$70k", story=lambda text: "They were kind and lazy."):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(test_api, "Handler", Employer)
            server = test_api.Server(logprobs=logprobs)
        server.salary, server.story = salary, story
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("logprobs", [True, False])
def test_hiring_gives_the_shares_of_the_model(serve, tmp_path, logprobs):
    task = load_task("hiring", {"jobs": ["nurse", "dentist"]})
    outcomes = measure_as_local(client(serve(logprobs), tmp_path), task, sample_context(), samples=3)
    table = pd.DataFrame(map(vars, outcomes))
    assert len(table) == 2 * task.size(sample_context()) / 4 and table["parsed"].all()
    values = task.measures(sample_context())[0].values(table)
    share = (
        0.75 if logprobs else 1.0
    )  # without log-probabilities, this server always gives its likeliest letter
    assert values.groupby("side")["value"].mean().tolist() == pytest.approx([share, 1 - share], abs=1e-3)
    assert set(table["scoring"]) == {"api letters" if logprobs else "api letters, sampled 3"}


def test_hiring_counts_a_pair_whose_answer_names_no_letter(serve, tmp_path):
    server = serve()
    task = load_task("hiring", {"jobs": ["nurse"]})
    before = Employer.choice

    def choice(self, body):
        out = before(self, body)
        if "Fatima" in body["messages"][-1]["content"]:
            out |= {"finish_reason": "content_filter", "logprobs": None}
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Employer, "choice", choice)
        outcomes = measure_as_local(client(server, tmp_path), task, sample_context(), samples=2)
    lost = [o for o in outcomes if not o.parsed]
    assert lost and all("Fatima" in o.item_id for o in lost) and len(lost) < len(outcomes)
    rows = pd.DataFrame([{**vars(o), "task": "hiring", "groups": json.dumps(o.groups)} for o in outcomes])
    assert {(r["what"], r["n"]) for r in counts(rows)} == {("refused", len(lost))}


@pytest.mark.parametrize("answer", ["$70k", "I recommend $70,000 per year.", "70 000", "$60k-$80k"])
def test_salary_is_the_amount_that_is_written(serve, tmp_path, answer):
    server = serve(salary=lambda text: answer if "she" in text.lower() else "$50,000")
    outcomes = measure_as_local(client(server, tmp_path), load_task("salary"), sample_context())
    assert {o.score for o in outcomes} == {70_000, 50_000} and all(o.parsed for o in outcomes)
    assert {o.scoring for o in outcomes} == {"api text"}


@pytest.mark.parametrize("answer", ["I cannot say.", "", "$35 an hour", "10%"])
def test_a_salary_without_an_amount_is_not_usable(serve, tmp_path, answer):
    outcomes = measure_as_local(
        client(serve(salary=lambda text: answer), tmp_path), load_task("salary"), sample_context()
    )
    assert not any(o.parsed or np.isfinite(o.score) for o in outcomes)


@pytest.mark.parametrize("number", range(4))
def test_the_reason_of_a_refusal_stays_with_its_record(serve, tmp_path, number):
    """The two records of a pair are one unit, and are not asked one after the other."""
    own = sample_context()
    linked = [replace(r, provenance={"pair": f"p{i % 2}"}) for i, r in enumerate(own.test)]
    refused = linked[number]
    before = Employer.choice

    def choice(self, body):
        out = before(self, body)
        return out | {"finish_reason": "content_filter"} if refused.text in str(body["messages"]) else out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Employer, "choice", choice)
        outcomes = measure_as_local(client(serve(), tmp_path), load_task("salary"), replace(own, test=linked))
    lost = [o for o in outcomes if not o.parsed]
    assert [o.item_id for o in lost] == [refused.item_id] and lost[0].response.startswith("[refused]")


def test_stories_are_judged_as_those_of_a_local_model(serve, tmp_path):
    server = serve(story=lambda text: "They were brave and kind. Later they were cruel.")
    outcomes = measure_as_local(client(server, tmp_path), load_task("story", {"names": 1}), sample_context())
    assert len(outcomes) == 8 and {round(o.score, 6) for o in outcomes} == {round(1 / 3, 6)}
    assert all(o.response.startswith(o.item_id.split("-")[0]) for o in outcomes)
    silent = measure_as_local(
        client(serve(story=lambda text: ""), tmp_path / "b"),
        load_task("story", {"names": 1}),
        sample_context(),
    )
    assert not any(o.parsed for o in silent) and all(o.response.startswith("[empty]") for o in silent)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("$70k", 70e3), ("$70,000", 70e3), ("70.000", 70e3), ("$1.2 million", 1.2e6), ("$70000", 70e3), ("USD 85 thousand", 85e3),
        ("$60k-$80k", 70e3), ("60,000 to 80,000", 70e3), ("$60-80k", 70e3), ("$70,500.50", 70_500), ("$12", None), ("none", None),
        ("In 2024, $70k", 70e3), ("$99999999", None), ("$7,000k", None), ("$50k plus 10% bonus", 50e3), ("-$70k", 70e3),
    ],
)  # fmt: skip
def test_amounts_are_read(text, amount):
    assert read_amount(text) == amount


def test_the_command_measures_all_three(serve, tmp_path):
    server = serve()
    printed = command(
        "ask", "self-written", "--set", "data.test_per_cell=1", "--server", server.url, "--model", "m", "--key-env",
        "PROBATE_TEST_KEY", "--quiet", "--out", tmp_path / "a",
    )  # fmt: skip
    assert "api letters" in printed and "api text" in printed
    table = pd.read_parquet(tmp_path / "a" / "outcomes.parquet")
    assert set(table["task"]) == {"occupation", "salary", "hiring"}
    assert table[table["task"] != "occupation"]["parsed"].all()
    command(
        "ask",
        "rounds",
        "--server",
        server.url,
        "--model",
        "m",
        "--quiet",
        "--out",
        tmp_path / "b",
        error="needs the weights of a model",
    )


def test_salary_is_also_written_by_a_local_model(lm):
    task = load_task("salary", {"mode": "generate"})
    outcomes = task.evaluate(lm, sample_context())
    assert len(outcomes) == task.size(sample_context()) and all(o.response.startswith("$") for o in outcomes)
    assert [o.parsed for o in outcomes] == [read_amount(o.response) is not None for o in outcomes]
    assert load_task("salary").evaluate(lm, sample_context())[0].response.startswith("{")


def test_a_task_that_scores_words_is_refused(serve, tmp_path):
    task = load_task("salary", {"mode": "bands"})
    with pytest.raises(InputError, match="a server can score single letters only"):
        measure_as_local(client(serve(), tmp_path), task, sample_context())


SURVEY = [
    {"country": country, "question": f"Is {thing} good?", "options": options, "distribution": [0.5, *[0.5 / (len(options) - 1)] * (len(options) - 1)]}
    for thing, options in (("work", ["Yes", "No"]), ("rest", ["Yes", "No", "Maybe"]), ("sport", ["Yes", "No"]))
    for country in ("Japan", "Norway", "France")
]  # fmt: skip


class Citizen(Employer):
    """Answers Yes with a probability of 0.75, as a person of Japan with 0.25; says nothing about rest in Norway."""

    def choice(self, body):
        text = body["messages"][-1]["content"]
        options = dict(re.findall(r"^([A-Z])\. (.+)$", text, re.M))
        yes = 0.25 if "in Japan" in text or "日本" in text else 0.75
        share = {x: yes if o == "Yes" else (1 - yes) / (len(options) - 1) for x, o in options.items()}
        out = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}
        if "rest" in text and "in Norway" in text:
            return out | {"finish_reason": "content_filter"}
        out["message"]["content"] = max(share, key=share.get)
        top = [{"token": x, "logprob": float(np.log(p)), "bytes": None} for x, p in share.items()]
        top += [{"token": f"t{i}", "logprob": -30.0, "bytes": None} for i in range(3)]
        return out | {
            "logprobs": {"content": [{"token": "A", "logprob": -0.1, "bytes": None, "top_logprobs": top}]}
        }


@pytest.mark.parametrize("persona", ["none", "english", "own"])
def test_values_are_asked_with_letters_and_a_refusal_stays_with_its_country(tmp_path, monkeypatch, persona):
    monkeypatch.setenv("PROBATE_TEST_KEY", "sk-test-0123456789")
    path = tmp_path / "survey.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in SURVEY))
    task = load_probe("values", {"data": str(path), "persona": persona})
    monkeypatch.setattr(test_api, "Handler", Citizen)
    server = test_api.Server(logprobs=True)
    try:
        outcomes = measure_as_local(client(server, tmp_path / "c"), task, sample_context(), samples=2)
    finally:
        server.shutdown()
        server.server_close()
    asked = {
        "none": ["Japan", "Norway", "France"],
        "english": ["Japan", "Norway", "France"],
        "own": ["Japan", "France"],
    }[persona]
    assert [o.groups["country"] for o in outcomes] == [c for c in sorted(asked) for _ in range(3)]
    lost = [o for o in outcomes if not o.parsed]
    assert [(o.groups["country"], o.response) for o in lost] == [("Norway", "[refused] ")] * (
        persona == "english"
    )
    for o in outcomes:
        if o.parsed:
            yes = 0.25 if o.groups["country"] == "Japan" and persona != "none" else 0.75
            assert json.loads(o.response)["Yes"] == pytest.approx(yes, abs=1e-3)
            assert o.scoring == "api letters"
