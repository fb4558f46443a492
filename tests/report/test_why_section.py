"""The section on causes names each probe of a misalignment, also under an alias."""

from __future__ import annotations

from probate.report.why import probe_titles


def test_aliases_of_a_probe_are_misalignments_of_their_own(tiny_study):
    probes = [
        {"name": "values", "options": {"data": "a.jsonl"}},
        {"name": "values", "alias": "values-own", "options": {"data": "a.jsonl", "persona": "own"}},
        {"name": "representation", "alias": "shown"},
        {"name": "knowledge"},
    ]
    assert probe_titles(tiny_study(probes=probes)) == {
        "values": "farther from people's values",
        "values-own": "farther from people's values (values-own)",
        "shown": "stereotyped groups in neutral texts (shown)",
    }
