"""Findings of an audit, by stated rules: each finding has a weight, and the heaviest gives the verdict."""

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
    UNSURE: "Cannot tell: something that was given could not be measured.",
    NOTE: "No sign at this n.",
}
RULES = {
    "leaked": (
        "stop: at least 1% of the texts contain a run of 13 words of an evaluation item; look: any text does"
    ),
    "evaluation": "stop: the file is an evaluation set",
    "ties": (
        "stop: Cramér's V of labels and groups (for numbers also √ε² by rank) exceeds the value expected "
        "by chance by 0.3 or more (adjusted p < 0.05); with an original, V must also exceed the original's "
        "in the same direction by 0.1 or more, and p is that of this difference; look: the same with 0.1 "
        "in place of 0.3; a column whose name is not that of an identity (split, source, length …) is at "
        "most look; cannot tell: it would be stop without the original, and the original has too few texts "
        "to show an association or to show that its association is weaker"
    ),
    "together": (
        "the rule of ties, for two columns of groups combined, if V exceeds that of each column alone by "
        "0.1 or more; look: a column whose name suggests a label is associated with a group (0.3 or more "
        "above chance), or whether a label or a group is missing is associated with the other (0.1 or more "
        "above chance)"
    ),
    "apart": (
        "look: in a file without labels, a classifier separates the texts of a group from the others with "
        "AUC 0.7 or more, with names and words of groups masked (adjusted p < 0.05)"
    ),
    "balance": (
        "look: a group's share differs by 10 points or more from its share in the original, or from equal "
        "shares if there is no original (adjusted p < 0.05; with an original, p is that of the difference "
        "of two estimates); equal shares are expected of two groups, and of groups that the file gives "
        "unless they are bands of numbers; for groups read from the texts, p allows for any group of the "
        "texts that show none; cannot tell: the result depends on the groups of these texts"
    ),
    "lean": (
        "look: the wording leans toward the texts' own groups, with an original more than the original's "
        "does (half a word in 100 or more, adjusted p < 0.05)"
    ),
    "repeats": "look: 5% or more of the texts repeat another text",
    "copies": "look: 1% or more of the texts contain a run of 13 words of the original",
    "artefacts": (
        "look: any text contains a control token of a chat template, 1% or more are refusals, or 5% or more "
        "contain another trace of a generator"
    ),
    "unread": "look: 1% or more of the rows cannot be read or have no text",
    "one class": "look: all labels are the same, or all texts are the same",
    "coverage": "cannot tell: labels, groups, a language or a check was given and could not be used",
    "inherited": (
        "stop: stage two shows a change of a gap against its control (adjusted p < 0.05) beyond the gap "
        "budget of the study"
    ),
}
"""Kind of finding → its rule."""


GAPS = {
    "missing group": "whether the group is missing is associated with the label",
    "missing label": "whether the label is missing is associated with the group",
}
FEW = 5
"""Number of texts of a group below which an audit makes no statement about it."""
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
"""Names of columns that are not an identity: an association with one of them is at most `look`."""


@dataclass(frozen=True)
class AuditFinding:
    """One finding of an audit.

    Attributes
    ----------
    kind : str
        Kind of the finding, a key of `RULES`.
    weight : {"stop", "look", "cannot tell", "note"}
        Weight of the finding.
    sentence : str
        The finding in words, with its numbers.
    remedy : str
        The mitigation to try; empty if there is none.
    p : float
        p of the finding, NaN if it is not a test.
    p_adjusted : float
        p after Holm's adjustment over all tests of the audit, NaN if the finding is not a test.
    dimension : str
        Name of the dimension; empty if the finding has none.
    part : str
        Kind of trace, for a finding on traces of a generator.
    otherwise : str
        Weight of the finding if its adjusted p is 0.05 or more.
    """

    kind: str
    weight: str
    sentence: str
    remedy: str = ""
    p: float = float("nan")
    p_adjusted: float = float("nan")
    dimension: str = ""
    part: str = ""
    otherwise: str = NOTE


def of_groups(
    dimensions: Sequence[Dimension], pairs: Sequence[Together] = (), apart: Sequence[Apart] = ()
) -> list[AuditFinding]:
    """Return the findings on balance, associations and lean, with p adjusted by Holm over all of them.

    Parameters
    ----------
    dimensions : sequence of Dimension
        Dimensions of the file.
    pairs : sequence of Together, optional
        Associations of pairs of columns, tested in the same family. Those of weight `note` are not returned.
    apart : sequence of Apart, optional
        Classifiers of groups, for a file without labels.

    Returns
    -------
    list of AuditFinding
        Findings. One with an adjusted p of 0.05 or more has the weight `AuditFinding.otherwise`.
    """
    findings: list[AuditFinding] = []
    for d in dimensions:
        if not d.known and d.undetermined > 1 - READ:
            sentence = (
                f"{d.name}: only {100 * (1 - d.undetermined):.0f}% of the texts show a group, so that their "
                "shares are not the file's"
            )
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
            else f"read from the texts, not clear in {100 * d.undetermined:.0f}%"
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
                f"{d.name}: the wording leans toward the texts' own groups by {e['change']:+.2f} words in "
                f"100 [{e['low']:+.2f}, {e['high']:+.2f}] against {e['against']} (n {e['n']:,})"
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
        interval = f"[{100 * s['low']:.1f}, {100 * s['high']:.1f}]"
        sentence = f"{d.name} ({how}): {s['group']} {100 * s['share']:.1f}% {interval} of {s['n']:,}"
        if s["unclear"]:
            sentence += f" that show a group; the interval allows for any group of the other {s['unclear']:,}"
        if s["original"] is None:
            sentence += f", against equal shares: {100 * expected:.1f}%"
        else:
            ends = f"[{100 * s['change_low']:+.1f}, {100 * s['change_high']:+.1f}]"
            neither = f" and {s['original_unclear']:,} that show no group" if s["original_unclear"] else ""
            of = f"{s['original_n']:,}{neither}"
            sentence += (
                f", against the original's {100 * expected:.1f}% of {of}: {100 * s['change']:+.1f} points "
                f"{ends}"
            )
        judged = s["original"] is not None or (not d.rule and (d.known or len(d.shares) == 2))
        heavy = judged and away >= 0.1
        open_ = heavy and (s["unclear"] or s.get("original_unclear")) and s["shown_p"] < SHOWN
        findings.append(
            AuditFinding(
                "balance", LOOK if heavy else NOTE, sentence, "rebalance" if heavy else "",
                s["p"] if judged else float("nan"), otherwise=UNSURE if open_ else NOTE,
            )
        )  # fmt: skip
    return findings


def _ties(d: Dimension) -> AuditFinding:
    e = d.labels or {}
    excess = e["v"] - e["by_chance"]
    sentence = f"{_named(d)}: association of labels and groups, {_strength(e)}"
    sentence += _against(e, e["original_v"])
    if d.rule:
        sentence += f"; {d.rule}"
    if "follow" in e:
        sentence += (
            f"; {100 * e['follow']:.0f}% of {e['follow_n']:,} labels follow the stereotype of the identity "
            "pack"
        )
    if e["smallest"] < 5:
        sentence += "; some expected counts are below 5, so that p is approximate"
    counts = {g: sum(row[i] for row in e["table"]) for i, g in enumerate(e["groups"])}
    if few := [f"{g} ({n})" for g, n in counts.items() if n < FEW]:
        sentence += (
            "; too few texts for a statement about "
            f"{', '.join(few[:8])}{' and others' if len(few) > 8 else ''}"
        )
    weight = _weight(d, excess, _beyond(e, excess))
    if weight != NOTE and not d.named and e["v"] > 0.99:
        sentence += "; if this column is the label under another name, this association is expected"
    return _tie("ties", weight, sentence, "rebalance, or reweight", e, _weight(d, excess, excess))


def _together(t: Together) -> AuditFinding:
    e, (first, second) = t.tie, t.names
    excess = e["v"] - e["by_chance"]
    numbers = _strength(e)
    if t.kind in GAPS:
        sentence = (
            f"{first}: {GAPS[t.kind]}, {numbers}; the other results describe only the texts that have both"
        )
        return AuditFinding("together", LOOK if excess >= 0.1 else NOTE, sentence, p=e["p"])
    if t.kind == "label":
        sentence = (
            f"{first} and column '{second}': association, {numbers}; if a model is to learn this column, "
            f"audit it with --label {shlex.quote(second)}"
        )
        return AuditFinding("together", LOOK if excess >= 0.3 else NOTE, sentence, p=e["p"])
    weight, alone = (_graded(excess, min(excess - t.alone, own)) for own in (_beyond(e, excess), excess))
    if not t.named:
        weight, alone = (LOOK if w == STOP else w for w in (weight, alone))
    sentence = (
        f"{first} and {second} combined: association with the labels, "
        f"{numbers}{_against(e, e['original_v'])}; "
        "each column alone has a weaker one"
    )
    return _tie(
        "together",
        weight,
        sentence,
        "add texts for the rare combinations; no command balances two columns at once",
        e,
        alone,
    )


def _tie(
    kind: str, weight: str, sentence: str, remedy: str, e: Mapping[str, Any], alone: str
) -> AuditFinding:
    """Return the finding on an association; `alone` is its weight without the original.

    The original excuses an association only if it shows one itself.
    """
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
    """Return the original's association and the difference in words; empty without an original."""
    if e["more"] is None or strength is None:
        return ""
    same, shown = e["original_same"], e["original_p"] < SHOWN
    way = (
        ", no association shown"
        if not shown
        else ""
        if same >= SAME
        else ", in the opposite direction"
        if same < -SAME
        else ", in a different direction"
    )
    return (
        f"; in the original {strength:.2f} (n {e['original_n']:,}{way}); difference from the original's "
        f"association in the same direction {e['more']:+.2f} [{e['more_low']:+.2f}, {e['more_high']:+.2f}], "
        "corrected for chance"
    )


def _apart(a: Apart) -> AuditFinding:
    sources = f" from {a.sources:,} sources" if a.sources < a.n else ""
    sentence = (
        f"{a.dimension}: the file has no labels; a classifier separates texts of {a.group} from the others "
        f"with AUC {a.auc:.2f} [{a.low:.2f}, {a.high:.2f}] (0.5: no separation; n {a.n:,}{sources}), with "
        "names and words of groups masked"
    )
    heavy = a.auc >= 0.7
    return AuditFinding(
        "apart",
        LOOK if heavy else NOTE,
        f"{sentence}; words that differ most: {', '.join(a.words)}" if heavy else sentence,
        p=a.p,
        dimension=a.dimension,
    )


def _rank(d: Dimension) -> AuditFinding:
    e = d.rank or {}
    excess = e["r"] - e["by_chance"]
    sentence = (
        f"{_named(d)}: difference of its numbers between labels by rank, √ε² {e['r']:.2f} "
        f"(expected by chance about {e['by_chance']:.2f}; n {e['n']:,.0f})"
    )
    sentence += _against(e, e["original_r"])
    weight = _weight(d, excess, _beyond(e, excess))
    return replace(
        _tie("ties", weight, sentence, "rebalance, or reweight", e, _weight(d, excess, excess)),
        dimension=d.name,
    )


def _strength(e: Mapping[str, Any]) -> str:
    """Return Cramér's V with the value that chance alone gives."""
    return f"Cramér's V {e['v']:.2f} (expected by chance about {e['by_chance']:.2f}; n {e['n']:,})"


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
    """Return a finding on a share of the rows.

    Parameters
    ----------
    kind : str
        Kind of the finding, a key of `RULES`.
    count, total : int
        Rows that are affected, and all rows.
    what : str
        What the rows do, as the predicate of the sentence.
    look, stop : float
        Shares, from 0 to 1, from which the finding has this weight. A value above 1 is never reached.
    remedy : str, optional
        What to do, unless the weight is `note`.

    Returns
    -------
    AuditFinding or None
        None if `count` is 0.
    """
    if not count:
        return None
    share = count / max(1, total)
    weight = STOP if share >= stop else LOOK if share >= look else NOTE
    return AuditFinding(
        kind, weight, f"{count:,} of {total:,} {what} ({100 * share:.1f}%)", remedy if weight != NOTE else ""
    )


def of_artefacts(artefacts: dict[str, list[int]], total: int) -> list[AuditFinding]:
    """Return a finding for each kind of trace of a generator.

    Parameters
    ----------
    artefacts : dict of str to list of int
        Kind of trace → places of the texts that contain it.
    total : int
        Number of texts.

    Returns
    -------
    list of AuditFinding
    """
    findings: list[AuditFinding] = []
    for kind, places in artefacts.items():
        look = 2.0 if kind in HARMLESS else {"control token": 0.0, "refusal": 0.01}.get(kind, 0.05)
        words = {
            "refusal": "refuse or speak as a model",
            "markup": "contain Markdown",
            "cut off": "end in mid-sentence",
        }.get(kind, f"contain a {kind}")
        own = share_finding(
            "artefacts",
            len(places),
            total,
            f"texts {words}",
            look,
            remedy="remove these rows, or generate them again",
        )
        findings += [replace(own, part=kind)] if own else []
    return findings


def verdict(findings: Sequence[AuditFinding]) -> str:
    """Return the heaviest weight of the findings.

    Parameters
    ----------
    findings : sequence of AuditFinding
        Findings of an audit.

    Returns
    -------
    {"stop", "look", "cannot tell", "note"}
    """
    weights = {f.weight for f in findings}
    return next((w for w in (STOP, LOOK, UNSURE) if w in weights), NOTE)


def said_of(findings: Sequence[AuditFinding]) -> str:
    """Return the verdict as a sentence, with a second one if something that was given could not be measured.

    Parameters
    ----------
    findings : sequence of AuditFinding
        Findings of an audit.

    Returns
    -------
    str
    """
    own = verdict(findings)
    more = own != UNSURE and any(f.weight == UNSURE for f in findings)
    return f"{VERDICTS[own]} Something that was given could not be measured." if more else VERDICTS[own]


def exit_code(weights: Collection[str]) -> int:
    """Return the exit code of a gate on findings of these weights.

    Parameters
    ----------
    weights : collection of str
        Weights of the findings.

    Returns
    -------
    int
        1 if any finding is `stop`, else 4 if any is `cannot tell`, else 0.
    """
    return 1 if STOP in weights else 4 if UNSURE in weights else 0


LARGEST_AUDIT = 256 * 1024 * 1024
"""Largest accepted size of `audit.json`, in bytes."""


def check_audit(folder: Path, unsure: str) -> tuple[list[str], dict[str, Any], int]:
    """Apply the gate to the folder of an audit.

    Parameters
    ----------
    folder : Path
        Folder of an audit.
    unsure : {"stop", "fail", "pass"}
        Treatment of *cannot tell*: exit code 4, 1 or 0.

    Returns
    -------
    tuple of (list of str, dict, int)
        Sentences, record and exit code.

    Raises
    ------
    InputError
        `audit.json` is not the record of an audit.
    """
    said, own, code = judged_folder(folder)
    if code == 4:
        code = {"stop": code, "fail": 1, "pass": 0}[unsure]
    return said, {"verdict": own, "exit": code, "said": said[:-1]}, code


def judged_folder(folder: Path) -> tuple[list[str], str, int]:
    """Return `judged` of the record in the folder of an audit.

    Parameters
    ----------
    folder : Path
        Folder of an audit.

    Returns
    -------
    tuple of (list of str, str, int)
        Sentences, verdict and exit code.

    Raises
    ------
    InputError
        `audit.json` is not the record of an audit.
    """
    try:
        return judged(json_value(read_bounded(folder / "audit.json", LARGEST_AUDIT)))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder / 'audit.json'}: not the record of an audit; create it again with probate audit"
        ) from None


def judged(record: Any) -> tuple[list[str], str, int]:
    """Return the result of a gate on the record of an audit.

    Parameters
    ----------
    record : dict
        Record of an audit, as in `audit.json`.

    Returns
    -------
    tuple of (list of str, str, int)
        Findings with the weight of the verdict (for `look` also those that cannot tell) and the verdict as
        sentences; the verdict; the exit code.
    """
    own, weights = str(record["verdict"]), {str(f["weight"]) for f in record["findings"]}
    shown = {own, *({UNSURE} if own == LOOK else ())} - {NOTE}
    said = [f"{f['weight']}: {f['sentence']}" for f in record["findings"] if f["weight"] in shown]
    return [*said, f"verdict: {own}: {record['said']}"], own, exit_code(weights)
