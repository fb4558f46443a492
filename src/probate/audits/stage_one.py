"""Stage one of an audit: all measurements that need no training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from probate.audits import space, verdict
from probate.audits.apart import Apart, told_apart
from probate.audits.coverage import coverage, not_measured
from probate.audits.groups import Dimension, dimensions_of
from probate.audits.read import AuditSet
from probate.audits.together import Together, together
from probate.audits.verdict import AuditFinding, share_finding
from probate.data.checks.artefacts import find_artefacts
from probate.data.checks.repeats import Index, Repeats, find_repeats, matching_texts
from probate.data.shape.sources import sources_of
from probate.stats.distribution import vendi
from probate.stats.wording import distinct, evenly, lengths

Say = Callable[[str], Any]


@dataclass
class StageOne:
    """Results of stage one of an audit.

    Attributes
    ----------
    data, original : AuditSet
        The audited file, and the original or None.
    dimensions : list of Dimension
        Dimensions of the file, with shares, associations and lean.
    repeats : Repeats
        Texts that repeat another text.
    artefacts : dict of str to list of int
        Kind of trace of a generator → places of the texts that contain it.
    leaked : dict of str to list of int
        Evaluation → places of the texts that contain one of its items.
    copied : list of int
        Places of the texts that contain a run of words of the original.
    compared : dict or None
        Comparison of the distributions; None without an original.
    diversity : dict of str to float
        Measures of diversity of a sample of the texts.
    findings : list of AuditFinding
        Findings by the rules of `verdict.RULES`.
    short : dict of str to tuple of int
        Evaluation → number of its texts that are too short to be searched for, and number of the n-grams that
        were searched for.
    pairs : list of Together
        Pairs of columns that were examined together.
    apart : list of Apart
        Classifiers of groups, for a file without labels.
    """

    data: AuditSet
    original: AuditSet | None
    dimensions: list[Dimension]
    repeats: Repeats
    artefacts: dict[str, list[int]]
    leaked: dict[str, list[int]]
    copied: list[int]
    compared: dict[str, Any] | None
    diversity: dict[str, float]
    findings: list[AuditFinding] = field(default_factory=list)
    short: dict[str, tuple[int, int]] = field(default_factory=dict)
    pairs: list[Together] = field(default_factory=list)
    apart: list[Apart] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """str: The heaviest weight of the findings."""
        return verdict.verdict(self.findings)


def audit(
    data: AuditSet,
    original: AuditSet | None,
    items: dict[str, Iterable[str]],
    say: Say = lambda _: None,
    permutations: int = 10_000,
) -> StageOne:
    """Run stage one of an audit.

    Parameters
    ----------
    data : AuditSet
        The file that is audited.
    original : AuditSet or None
        The original file.
    items : dict of str to iterable of str
        Evaluation → its texts, which the data must not contain.
    say : callable, optional
        Called with the name of each step.
    permutations : int, default 10000
        Permutations of each test of the distributions.

    Returns
    -------
    StageOne
    """
    say("groups")
    dimensions = dimensions_of(data, original)
    say("repeats")
    repeats = find_repeats(data.texts)
    say("evaluation items" if original is None else "evaluation items and copies of the original")
    indices = {name: Index(texts) for name, texts in items.items()}
    *holding, copied = matching_texts(
        data.texts, [*indices.values(), Index(original.texts if original else [])]
    )
    leaked = {name: places for name, places in zip(items, holding, strict=True) if places}
    compared = None
    if original is not None:
        say("distribution")
        compared = space.compare_words(
            original.texts, data.texts, permutations, sources=sources_of(original.ties, data.ties)
        )
        compared["tied_by"] = [original.tied_by, data.tied_by]
    say("traces of a generator")
    artefacts = find_artefacts(data.texts)
    sample = [data.texts[i] for i in evenly(len(data.texts), 1000)]
    points, _ = space.embed(sample, []) if len(sample) > 2 and len(set(sample)) > 1 else (None, None)
    words = lengths(sample)
    diversity = {
        "words": float(words.mean()), "distinct": distinct(sample),
        "vendi": vendi(points) if points is not None else 1.0, "of": float(len(sample)),
    }  # fmt: skip
    stage_one = StageOne(data, original, dimensions, repeats, artefacts, leaked, copied, compared, diversity)
    stage_one.pairs, stage_one.apart = (
        together(data, dimensions, original),
        list(told_apart(data, dimensions)),
    )
    stage_one.short = {name: (own.short, len(own.grams)) for name, own in indices.items() if own.short}
    stage_one.findings = list(_findings(stage_one))
    return stage_one


def _findings(a: StageOne) -> Iterable[AuditFinding]:
    data, total = a.data, len(a.data.texts)
    if data.shape.evaluation:
        yield AuditFinding(
            "evaluation",
            verdict.STOP,
            f"this is an evaluation set, not training data: {data.shape.evaluation}",
            "keep it for evaluation",
        )
    rows = [
        share_finding(
            "leaked",
            len(places),
            total,
            f"texts contain a run of 13 words of an item of {name}",
            0.0,
            0.01,
            "remove these rows",
        )
        for name, places in a.leaked.items()
    ]
    repeated = len(a.repeats.exact) + len(a.repeats.near)
    rows.append(
        share_finding(
            "unread",
            len(data.rejected) + data.empty,
            data.rows,
            "rows cannot be read or have no text",
            0.01,
            remedy="remove these rows",
        )
    )
    rows.append(
        share_finding(
            "repeats",
            repeated,
            total,
            f"texts repeat another text ({len(a.repeats.exact):,} word for word)",
            0.05,
            remedy="remove the repeats",
        )
    )
    rows.append(
        share_finding(
            "copies",
            len(a.copied),
            total,
            "texts contain a run of 13 words of the original",
            0.01,
            remedy="remove these rows, unless they are intended",
        )
    )
    yield from (f for f in rows if f)
    yield from verdict.of_artefacts(a.artefacts, total)
    labels = set(data.labels) - {""}
    if len(labels) == 1:
        yield AuditFinding("one class", verdict.LOOK, f"all {total:,} labels are '{next(iter(labels))}'")
    if total > 1 and len(set(data.texts)) == 1:
        yield AuditFinding("one class", verdict.LOOK, f"all {total:,} texts are the same")
    yield from verdict.of_groups(a.dimensions, a.pairs, a.apart)
    for name, (short, grams) in a.short.items():
        said = f"leaks: {short:,} texts of {name} have fewer than 13 words and were not searched for"
        yield AuditFinding("coverage", verdict.NOTE if grams else verdict.UNSURE, said)
    yield from (
        AuditFinding("coverage", verdict.UNSURE, reason)
        for reason in not_measured(data, a.original, a.dimensions, a.short)
    )
    yield from (
        AuditFinding("coverage", verdict.NOTE, f"not examined as a group: {reason}") for reason in data.left
    )


def as_record(a: StageOne) -> dict[str, Any]:
    """Return the results of stage one, ready for JSON.

    Parameters
    ----------
    a : StageOne
        Results of stage one.

    Returns
    -------
    dict
        All results; of a list of places the count and the first twenty.
    """

    def places(own: list[int]) -> dict[str, Any]:
        return {"count": len(own), "first": [a.data.where[i] for i in own[:20]]}

    unmeasured = list(not_measured(a.data, a.original, a.dimensions, a.short))
    return {
        "verdict": a.verdict,
        "exit": verdict.exit_code({f.weight for f in a.findings}),
        "coverage": coverage(a.data, a.dimensions, a.pairs) | {"not_measured": unmeasured},
        "said": verdict.said_of(a.findings),
        "source": a.data.source,
        "original": a.original.source if a.original else None,
        "shape": asdict(a.data.shape),
        "texts": len(a.data.texts),
        "rejected": a.data.rejected[:100],
        "empty": a.data.empty,
        "findings": [asdict(f) for f in a.findings],
        "dimensions": [{k: v for k, v in asdict(d).items() if k != "values"} for d in a.dimensions],
        "repeats": {"exact": len(a.repeats.exact), "near": len(a.repeats.near)},
        "artefacts": {kind: places(own) for kind, own in a.artefacts.items()},
        "leaked": {name: places(own) for name, own in a.leaked.items()},
        "copied": places(a.copied),
        "distribution": a.compared,
        "diversity": a.diversity,
    }  # fmt: skip
