"""What an audit found, by stated rules: each finding has a weight, and the heaviest gives the verdict."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from probate.audits.apart import Apart
from probate.audits.before import SAME, SHOWN
from probate.audits.groups import NONE, READ, Dimension
from probate.audits.together import Together
from probate.core.errors import InputError
from probate.core.inputs import read_bounded
from probate.core.parse import json_value
from probate.data.checks.artefacts import HARMLESS
from probate.stats.families import holm

STOP, LOOK, UNSURE, NOTE = "stop", "look", "cannot tell", "note"
VERDICTS = {
    STOP: "Do not train on this as it is.",
    LOOK: "Look at these before you train on it.",
    UNSURE: "Cannot tell: not all that was given could be looked at.",
    NOTE: "No sign at this n.",
}
RULES = {
    "leaked": "stop: at least 1% of the texts hold a run of 13 words of an evaluation item; look: any does",
    "evaluation": "stop: the file is an evaluation set",
    "ties": "stop: Cramér's V of label and group (of numbers also √ε² by rank) is above what chance gives by 0.3 or more (adjusted p < 0.05); with an original, also above the original's of the same direction by 0.1 or more, and p is of that difference; look: by 0.1, and of columns that are no identity by their name (split, source, length …); cannot tell: it would stop without the original, which has too few texts to show a tie or that it has a weaker one",
    "together": "as ties, of two columns of groups together, where V is above that of each alone by 0.1; look: a column that is called like a label goes with a group (by 0.3 above chance), or whether a label or group is missing goes with the other (by 0.1)",
    "apart": "look: in a file without labels a classifier tells the texts of a group from the others' with AUC 0.7 or more, names and words of groups masked (adjusted p < 0.05)",
    "balance": "look: a group's share is 10 points or more away from its share in the original, or without one from equal shares (adjusted p < 0.05; with an original of the difference of two estimates); equal shares are expected of two groups, and of groups that the file gives and that are no bands of numbers; of groups that are read from the texts p holds whatever group the texts have that show none, and where that decides, it is cannot tell",
    "lean": "look: the wording leans toward the texts' own groups, more than the original's does (adjusted p < 0.05, half a word in 100 or more)",
    "repeats": "look: 5% or more of the texts repeat another",
    "copies": "look: 1% or more hold a run of 13 words of the original",
    "artefacts": "look: any text has a control token of a chat template, 1% or more are refusals, or 5% or more have another generator's trace",
    "unread": "look: 1% or more of the rows cannot be read or have no text",
    "one class": "look: all labels, or all texts, are the same",
    "coverage": "cannot tell: labels, groups, a language or a check that was given and not used",
    "inherited": "stop: the trained study shows a change of a gap against its control (adjusted p < 0.05) beyond the budget",
}
"""Kind of finding → its rule."""


GAPS = {
    "missing group": "whether the group is missing goes with the label",
    "missing label": "whether the label is missing goes with the group",
}
FEW = 5
"""Texts of a group below which nothing is said of it."""
PLAIN = {
    "split",
    "source",
    "dataset",
    "generator",
    "model",
    "model_name",
    "length",
    "n_words",
    "words",
    "tokens",
    "num_tokens",
    "score",
    "confidence",
    "date",
    "time",
    "timestamp",
    "created",
    "created_at",
    "updated_at",
    "year",
    "url",
}
"""Names of columns that are no identity: what goes together with them is to be looked at, and stops nothing."""


@dataclass(frozen=True)
class AuditFinding:
    """One finding: its kind in `RULES`, how heavy it is, a sentence with its numbers, and the mitigation to try, if there is one."""

    kind: str
    weight: str
    sentence: str
    remedy: str = ""
    p: float = float("nan")
    p_adjusted: float = float("nan")
    dimension: str = ""
    part: str = ""
    """The kind of trace, of a finding on traces."""
    otherwise: str = NOTE
    """What it weighs where its p does not bear it."""


def of_groups(
    dimensions: Sequence[Dimension], pairs: Sequence[Together] = (), apart: Sequence[Apart] = ()
) -> list[AuditFinding]:
    """Findings on balance, ties and lean; those that their p does not bear after Holm's adjustment over all of them become what they are `otherwise`.

    Of `pairs`, which are in the same family, only those that weigh are given.
    """
    findings: list[AuditFinding] = []
    for d in dimensions:
        if not d.known and d.undetermined > 1 - READ:
            sentence = f"{d.name}: read in {100 * (1 - d.undetermined):.0f}% of the texts only; their shares are not the file's"
            findings.append(AuditFinding("coverage", NOTE, sentence))
            if d.labels and NONE in d.labels["groups"]:
                tie = replace(_ties(d), dimension=d.name, otherwise=NOTE)
                findings.append(
                    replace(tie, weight=LOOK) if tie.weight == STOP else replace(tie, weight=NOTE, remedy="")
                )
            continue
        how = (
            "given by the file"
            if d.known
            else f"read from the text, undetermined in {100 * d.undetermined:.0f}%"
        )
        if d.named:
            findings += [replace(f, dimension=d.name) for f in _balance(d, how)]
        if d.rank is not None:
            findings.append(_rank(d))
        if d.labels:
            findings.append(replace(_ties(d), dimension=d.name))
        if d.lean:
            e = d.lean
            sentence = (
                f"{d.name}: the wording leans toward the texts' own groups by {e['change']:+.2f} words in 100 [{e['low']:+.2f}, {e['high']:+.2f}] "
                f"against {e['against']} (n {e['n']:,})"
            )
            heavy = e["change"] >= 0.5
            findings.append(
                AuditFinding(
                    "lean",
                    LOOK if heavy else NOTE,
                    sentence,
                    "counterfactual,mask" if heavy else "",
                    e["p"],
                    dimension=d.name,
                )
            )
    findings += [*map(_together, pairs), *map(_apart, apart)]
    for i, p in enumerate(holm([f.p for f in findings])):
        if np.isfinite(p):
            own = findings[i] if p < SHOWN else replace(findings[i], weight=findings[i].otherwise, remedy="")
            findings[i] = replace(own, p_adjusted=float(p))
    return [f for f in findings if f.kind != "together" or f.weight != NOTE]


def _balance(d: Dimension, how: str) -> list[AuditFinding]:
    several = [s for s in d.shares if s["count"] >= FEW or s["original"]]
    shares = several if len(d.shares) > 2 else d.shares[:1]
    findings = []
    for s in shares:
        expected = s["parity"] if s["original"] is None else s["original"]
        away = abs(s["share"] - expected)
        sentence = f"{d.name} ({how}): {s['group']} {100 * s['share']:.1f}% [{100 * s['low']:.1f}, {100 * s['high']:.1f}] of {s['n']:,}"
        if s["unclear"]:
            sentence += f" that show one, the interval whatever group the other {s['unclear']:,} have"
        if s["original"] is None:
            sentence += f", against equal shares: {100 * expected:.1f}%"
        else:
            ends = f"[{100 * s['change_low']:+.1f}, {100 * s['change_high']:+.1f}]"
            of = f"{s['original_n']:,}{f' and {n:,} that show none' if (n := s['original_unclear']) else ''}"
            sentence += f", against the original's {100 * expected:.1f}% of {of}: {100 * s['change']:+.1f} points {ends}"
        judged = s["original"] is not None or (not d.rule and (d.known or len(d.shares) == 2))
        heavy = judged and away >= 0.1
        open_ = heavy and (s["unclear"] or s.get("original_unclear")) and s["shown_p"] < SHOWN
        findings.append(
            AuditFinding(
                "balance", LOOK if heavy else NOTE, sentence, "rebalance" if heavy else "", s["p"] if judged else float("nan"),
                otherwise=UNSURE if open_ else NOTE,
            )
        )  # fmt: skip
    return findings


def _ties(d: Dimension) -> AuditFinding:
    e = d.labels or {}
    excess = e["v"] - e["by_chance"]
    sentence = f"{_named(d)}: labels and groups go together with Cramér's V {e['v']:.2f} (by chance about {e['by_chance']:.2f}; n {e['n']:,})"
    sentence += _against(e, e["original_v"])
    if d.rule:
        sentence += f"; {d.rule}"
    if "follow" in e:
        sentence += (
            f"; {100 * e['follow']:.0f}% of {e['follow_n']:,} labels follow the stereotype of the pack"
        )
    if e["smallest"] < 5:
        sentence += "; some cells are small, so that p is rough"
    counts = {g: sum(row[i] for row in e["table"]) for i, g in enumerate(e["groups"])}
    if few := [f"{g} ({n})" for g, n in counts.items() if n < FEW]:
        sentence += (
            f"; too few texts to say anything of {', '.join(few[:8])}{' and others' if len(few) > 8 else ''}"
        )
    weight = _weight(d, excess, _beyond(e, excess))
    if weight != NOTE and not d.named and e["v"] > 0.99:
        sentence += "; if that column is the label under another name, this is no finding"
    return _tie("ties", weight, sentence, "rebalance, or reweight", e, _weight(d, excess, excess))


def _together(t: Together) -> AuditFinding:
    e, (first, second) = t.tie, t.names
    excess = e["v"] - e["by_chance"]
    numbers = f"Cramér's V {e['v']:.2f} (by chance about {e['by_chance']:.2f}; n {e['n']:,})"
    if t.kind in GAPS:
        sentence = (
            f"{first}: {GAPS[t.kind]} with {numbers}, so that what is said of the others is not said of all"
        )
        return AuditFinding("together", LOOK if excess >= 0.1 else NOTE, sentence, p=e["p"])
    if t.kind == "label":
        sentence = f"{first} and column '{second}' go together with {numbers}; if a model is to learn that column, audit it with --label {shlex.quote(second)}"
        return AuditFinding("together", LOOK if excess >= 0.3 else NOTE, sentence, p=e["p"])
    weight, alone = (_graded(excess, min(excess - t.alone, own)) for own in (_beyond(e, excess), excess))
    if not t.named:
        weight, alone = (LOOK if w == STOP else w for w in (weight, alone))
    sentence = f"{first} and {second} together go with the labels by {numbers}{_against(e, e['original_v'])}, where each alone does less"
    return _tie(
        "together",
        weight,
        sentence,
        "have texts written for the rare combinations; no command balances two columns at once",
        e,
        alone,
    )


def _tie(
    kind: str, weight: str, sentence: str, remedy: str, e: Mapping[str, Any], alone: str
) -> AuditFinding:
    """`alone`: what it would weigh without the original, whose tie excuses nothing unless it is shown."""
    compared = e["more"] is not None
    unsure = compared and alone == STOP and e["p"] < SHOWN and not e["original_p"] < SHOWN
    return AuditFinding(
        kind,
        weight,
        sentence,
        remedy if weight != NOTE else "",
        e["more_p"] if compared else e["p"],
        otherwise=UNSURE if unsure else NOTE,
    )


def _beyond(e: Mapping[str, Any], excess: float) -> float:
    return excess if e["more"] is None else float(e["more"])


def _against(e: Mapping[str, Any], strength: float | None) -> str:
    """In words, the tie of the original and the difference; empty without one."""
    if e["more"] is None or strength is None:
        return ""
    same, shown = e["original_same"], e["original_p"] < SHOWN
    way = (
        ", no tie shown"
        if not shown
        else ""
        if same >= SAME
        else ", the other way round"
        if same < -SAME
        else ", in another way"
    )
    return (
        f", in the original {strength:.2f} (n {e['original_n']:,}{way}); more than the original's of the same direction by {e['more']:+.2f} "
        f"[{e['more_low']:+.2f}, {e['more_high']:+.2f}], chance taken out"
    )


def _apart(a: Apart) -> AuditFinding:
    sentence = (
        f"{a.dimension}: without labels, texts of {a.group} are told from others with AUC {a.auc:.2f} [{a.low:.2f}, {a.high:.2f}] (0.5: not at all; n {a.n:,}{f' of {a.sources:,} sources' if a.sources < a.n else ''}), "
        f"names and words of groups masked"
    )
    heavy = a.auc >= 0.7
    return AuditFinding(
        "apart",
        LOOK if heavy else NOTE,
        f"{sentence}; most by {', '.join(a.words)}" if heavy else sentence,
        p=a.p,
        dimension=a.dimension,
    )


def _rank(d: Dimension) -> AuditFinding:
    e = d.rank or {}
    excess = e["r"] - e["by_chance"]
    sentence = f"{_named(d)}: its numbers differ between labels by rank with r {e['r']:.2f} (by chance about {e['by_chance']:.2f}; n {e['n']:,.0f})"
    sentence += _against(e, e["original_r"])
    weight = _weight(d, excess, _beyond(e, excess))
    return replace(
        _tie("ties", weight, sentence, "rebalance, or reweight", e, _weight(d, excess, excess)),
        dimension=d.name,
    )


def _named(d: Dimension) -> str:
    return d.name if d.named else f"column '{d.column}'"


def _weight(d: Dimension, excess: float, beyond: float) -> str:
    weight = _graded(excess, beyond)
    return LOOK if weight == STOP and not d.named and d.column.rpartition(".")[2].lower() in PLAIN else weight


def _graded(excess: float, beyond: float) -> str:
    return STOP if excess >= 0.3 and beyond >= 0.1 else LOOK if excess >= 0.1 and beyond >= 0.1 else NOTE


def share_finding(
    kind: str, count: int, total: int, what: str, look: float, stop: float = 2.0, remedy: str = ""
) -> AuditFinding | None:
    """A finding on a share of the rows, or None where there is nothing. `look` and `stop`: shares from which it weighs so much."""
    if not count:
        return None
    share = count / max(1, total)
    weight = STOP if share >= stop else LOOK if share >= look else NOTE
    return AuditFinding(
        kind, weight, f"{count:,} of {total:,} {what} ({100 * share:.1f}%)", remedy if weight != NOTE else ""
    )


def of_artefacts(artefacts: dict[str, list[int]], total: int) -> list[AuditFinding]:
    """A finding for each kind of trace."""
    findings: list[AuditFinding] = []
    for kind, places in artefacts.items():
        look = 2.0 if kind in HARMLESS else {"control token": 0.0, "refusal": 0.01}.get(kind, 0.05)
        words = {
            "refusal": "refuse or speak as a model",
            "markup": "have Markdown",
            "cut off": "end in mid-sentence",
        }.get(kind, f"have a {kind}")
        own = share_finding(
            "artefacts",
            len(places),
            total,
            f"texts {words}",
            look,
            remedy="leave these rows out, or ask again",
        )
        findings += [replace(own, part=kind)] if own else []
    return findings


def verdict(findings: Sequence[AuditFinding]) -> str:
    """`stop`, `look`, `cannot tell` or `note`: the heaviest."""
    weights = {f.weight for f in findings}
    return next((w for w in (STOP, LOOK, UNSURE) if w in weights), NOTE)


def said_of(findings: Sequence[AuditFinding]) -> str:
    """The verdict as a sentence, with a second one where it does not speak of all that was given."""
    own = verdict(findings)
    more = own != UNSURE and any(f.weight == UNSURE for f in findings)
    return f"{VERDICTS[own]} Not all that was given could be looked at." if more else VERDICTS[own]


def exit_code(weights: Collection[str]) -> int:
    """Of a gate on findings of these weights: 1 for any that stops, else 4 where something could not be told, else 0."""
    return 1 if STOP in weights else 4 if UNSURE in weights else 0


LARGEST_AUDIT = 256 * 1024 * 1024
"""Bytes of `audit.json`."""


def check_audit(folder: Path, unsure: str) -> tuple[list[str], dict[str, Any], int]:
    """The gate on an audit's folder: sentences, record and exit code. `unsure`: what *cannot tell* does, stop (4), fail (1) or pass (0).

    Raises:
        InputError: an `audit.json` that is not one.
    """
    said, own, code = judged_folder(folder)
    if code == 4:
        code = {"stop": code, "fail": 1, "pass": 0}[unsure]
    return said, {"verdict": own, "exit": code, "said": said[:-1]}, code


def judged_folder(folder: Path) -> tuple[list[str], str, int]:
    """`judged` of the record in an audit's folder.

    Raises:
        InputError: an `audit.json` that is not one.
    """
    try:
        return judged(json_value(read_bounded(folder / "audit.json", LARGEST_AUDIT)))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder / 'audit.json'}: not the record of an audit; make it again with probate audit"
        ) from None


def judged(record: Any) -> tuple[list[str], str, int]:
    """What a gate says of an audit's record: the findings that weigh and the verdict in words, the verdict, and the exit code."""
    own, weights = str(record["verdict"]), {str(f["weight"]) for f in record["findings"]}
    shown = {own, *({UNSURE} if own == LOOK else ())} - {NOTE}
    said = [f"{f['weight']}: {f['sentence']}" for f in record["findings"] if f["weight"] in shown]
    return [*said, f"verdict: {own}: {record['said']}"], own, exit_code(weights)
