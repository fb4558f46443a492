"""Output for pipelines: JUnit XML and GitHub annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from probate.core.files import write_atomic
from probate.report.gate.decide import FAIL, PASS, UNSURE, Judgement


def write_junit(path: Path, judgements: Sequence[Judgement], folder: str) -> None:
    """Write a JUnit XML file with a test case for each judgement.

    Parameters
    ----------
    path : Path
        File to write.
    judgements : sequence of Judgement
        The judgements. Fail is a failure, cannot tell is a skipped test.
    folder : str
        Run folder, for the name of the test suite.
    """
    counts = {v: sum(d.verdict == v for d in judgements) for v in (FAIL, UNSURE)}
    suite = Element(
        "testsuite",
        name=f"probate check {folder}",
        tests=str(len(judgements)),
        failures=str(counts[FAIL]),
        skipped=str(counts[UNSURE]),
    )
    for d in judgements:
        case = SubElement(
            suite, "testcase", classname=f"probate.{d.task}", name=f"{d.comparison}; {d.bias_type} data"
        )
        if d.verdict == FAIL:
            SubElement(case, "failure", message=d.sentence)
        elif d.verdict == UNSURE:
            SubElement(case, "skipped", message=d.sentence)
        else:
            SubElement(case, "system-out").text = d.sentence
    write_atomic(path, '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suite, encoding="unicode"))


def github_lines(judgements: Sequence[Judgement]) -> list[str]:
    """Return workflow commands, which GitHub shows as annotations of a run.

    Parameters
    ----------
    judgements : sequence of Judgement
        The judgements.

    Returns
    -------
    list of str
        One command for each judgement: notice, warning or error.
    """
    level = {PASS: "notice", UNSURE: "warning", FAIL: "error"}
    return [f"::{level[d.verdict]} title=probate {d.task}::{_escaped(d.sentence)}" for d in judgements]


def _escaped(text: str) -> str:
    """Return a text with the characters escaped that end a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
