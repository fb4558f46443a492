"""Worlds with a known truth for the audit's rules and for the intervals of small samples.

False alarms, power, coverage.

python benchmarks/worlds/audit.py [--runs 1000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from probate.audits.groups import dimensions_of
from probate.audits.read import AuditSet
from probate.audits.verdict import AuditFinding, of_groups
from probate.core.records import Record
from probate.data.packs import load_pack
from probate.data.shape import Shape
from probate.data.spellings import GroupColumn
from probate.stats import macro_f1
from probate.stats.imbalance import UNCLEAR, group_shares
from probate.stats.manipulation import manipulation_check
from probate.stats.values import ShareComparison, by_country
from probate.study.schema import Analysis

Array = np.ndarray
Row = tuple[str, str, float, float]
Finds = Callable[[np.random.Generator], list[AuditFinding]]
GROUPS = ["north", "south", "east", "west"]
ANALYSIS = Analysis(resamples=400)
PACK = load_pack("gender")


def audited(texts: Sequence[str], labels: Sequence[str], groups: Sequence[str], language: str) -> AuditSet:
    """A file as `read_set` gives it; without `groups` they are read from the texts."""
    own = (
        {"region": GroupColumn("region", "region", list(groups), sorted(set(groups)), {}, 0, "", None)}
        if len(groups)
        else {}
    )
    shape = Shape(
        "table",
        "text",
        label="label" if any(labels) else None,
        groups={"region": "region"} if own else {},
        language=language,
    )
    return AuditSet(
        "world", shape, list(texts), list(labels), [""] * len(texts), [""] * len(texts),
        {k: c.values for k, c in own.items()},
        columns=own,
    )  # fmt: skip


def table(v: float, rows: int, columns: int, first: float = 0.5) -> Array:
    """Chances of shape (labels, groups) with Cramér's V `v`.

    Of two and two, `first` is the first group's share.
    """
    full = np.zeros((rows, columns))
    for g in range(columns):
        full[g % rows, g] = 1 / columns
    if (rows, columns) == (2, 2):
        full = np.diag([first, 1 - first])
    return np.asarray(v * full + (1 - v) * np.outer(full.sum(1), full.sum(0)))


def drawn(rng: np.random.Generator, p: Array, n: int) -> AuditSet:
    """A file of `n` texts with labels and groups by `p`."""
    cells = rng.choice(p.size, n, p=p.ravel())
    labels, groups = np.divmod(cells, p.shape[1])
    return audited(
        [f"texto {i}" for i in range(n)], [f"l{x}" for x in labels], [GROUPS[g] for g in groups], "es"
    )


def rate(world: str, what: str, hits: Sequence[bool] | Array) -> Row:
    """A row: share of hits and its standard error."""
    share = float(np.mean(hits))
    return world, what, share, float(np.sqrt(max(share * (1 - share), 1e-9) / len(hits)))


def weighed(
    world: str, runs: int, seed: int, kind: str, weights: dict[str, str], find: Finds
) -> Iterator[Row]:
    """How often the heaviest finding of a kind weighs so much; `weights`: weight → what the row is called."""
    rng = np.random.default_rng(seed)
    found = [{f.weight for f in find(rng) if f.kind == kind} for _ in range(runs)]
    for weight, what in weights.items():
        yield rate(world, what, [bool(own & set(weight.split("|"))) for own in found])


def of_shares(runs: int) -> Iterator[Row]:
    """The same share of each group in the file and in the original."""
    for share in ([0.5, 0.5], [0.8, 0.2], [0.4, 0.3, 0.2, 0.1]):
        for n, m in ((300, 60), (300, 300), (100, 3000)):

            def find(
                rng: np.random.Generator, p: list[float] = share, n: int = n, m: int = m
            ) -> list[AuditFinding]:
                files = [
                    audited(["texto"] * k, [""] * k, list(rng.choice(GROUPS[: len(p)], k, p=p)), "es")
                    for k in (n, m)
                ]
                return of_groups(dimensions_of(*files))

            world = f"share {'/'.join(f'{100 * p:.0f}' for p in share)}, file {n}, original {m}"
            yield from weighed(world, runs, 1, "balance", {"look": "LOOK under equality"}, find)


def of_ties(runs: int) -> Iterator[Row]:
    """The same V in both files; then another one."""
    both = {"look|stop": "LOOK or STOP", "stop": "STOP", "cannot tell": "cannot tell"}
    for size in ((2, 2), (3, 4)):
        for v in (0.0, 0.2, 0.5):
            for n, m in ((200, 200), (200, 2000)):

                def same(
                    rng: np.random.Generator,
                    v: float = v,
                    n: int = n,
                    m: int = m,
                    size: tuple[int, int] = size,
                ) -> list[AuditFinding]:
                    return of_groups(
                        dimensions_of(drawn(rng, table(v, *size), n), drawn(rng, table(v, *size), m))
                    )

                yield from weighed(
                    f"V {v} in both, {size[0]} labels, {size[1]} groups, file {n}, original {m}", runs, 2,
                    "ties",
                    {k: f"{name} under equality" for k, name in both.items()}, same,
                )  # fmt: skip
    for v, w, n, m in (
        (0.7, 0.2, 200, 200),
        (0.5, 0.2, 200, 200),
        (0.5, 0.0, 200, 30),
        (0.5, 0.5, 200, 30),
        (0.95, 0.2, 60, 60),
    ):

        def more(
            rng: np.random.Generator, v: float = v, w: float = w, n: int = n, m: int = m
        ) -> list[AuditFinding]:
            return of_groups(dimensions_of(drawn(rng, table(v, 2, 2), n), drawn(rng, table(w, 2, 2), m)))

        yield from weighed(
            f"V {v} against {w}, file {n}, original {m}",
            runs,
            3,
            "ties",
            {k: f"{name} found" for k, name in both.items()},
            more,
        )


def of_reading(runs: int) -> Iterator[Row]:
    """Groups read from texts, of which 60% of one group's and 90% of the other's show it."""
    recall = np.array([0.6, 0.9])
    for share, what in ((0.5, "under equality"), (0.95, "found")):

        def find(rng: np.random.Generator, share: float = share) -> list[AuditFinding]:
            his = (rng.random(300) >= share).astype(int)
            clear = rng.random(300) < recall[his]
            texts = [
                f"{('She', 'He')[g] if c else 'Somebody'} came to the town and is at work."
                for g, c in zip(his, clear, strict=True)
            ]
            return of_groups(dimensions_of(audited(texts, [""] * 300, [], "en")))

        names = {"look": f"LOOK {what}", "cannot tell": f"cannot tell {what}"}
        yield from weighed(
            f"{100 * share:.0f}% women of 300 texts, recall .6 and .9", runs // 2, 4, "balance", names, find
        )


def of_corrected(runs: int) -> Iterator[Row]:
    """Corrected shares with a detector whose errors were measured on 150 texts of each group."""
    chances = np.array([[0.6, 0.02, 0.38], [0.05, 0.9, 0.05]])
    names = [*GROUPS[:2], UNCLEAR]
    for n in (12, 60, 300):
        for truth in (0.1, 0.5, 0.7, 0.9):
            rng = np.random.default_rng(5)
            held, apart = [], []
            for _ in range(runs // 2):
                errors = np.stack([rng.multinomial(150, row) for row in chances])
                found = rng.choice(names, n, p=truth * chances[0] + (1 - truth) * chances[1])
                own = next(s for s in group_shares([""] * n, list(found), names[:2], errors={"": errors}))
                held.append(own.corrected_low <= truth <= own.corrected_high)
                apart.append(not own.corrected_low <= 0.5 <= own.corrected_high)
            yield rate(f"corrected share {truth}, n {n}", "coverage of corrected shares", held)
            if truth == 0.5:
                yield rate(f"corrected share {truth}, n {n}", "50% rejected under equality", apart)


def of_v(runs: int) -> Iterator[Row]:
    """Cramér's V by the manipulation check."""
    for size, first in (((2, 2), 0.5), ((3, 4), 0.5)):
        labels, groups = [f"l{i}" for i in range(size[0])], GROUPS[: size[1]]
        for n in (60, 200):
            for v in (0.0, 0.2, 0.5, 0.9):
                rng, p = np.random.default_rng(6), table(v, *size, first)
                held = []
                for _ in range(runs // 2):
                    cells = rng.choice(p.size, n, p=p.ravel())
                    records = [
                        Record(
                            str(i), "x", labels[c // size[1]], {"region": groups[c % size[1]]}, "augmented"
                        )
                        for i, c in enumerate(cells)
                    ]
                    own = manipulation_check(
                        "w",
                        records,
                        [],
                        labels=labels,
                        groups=groups,
                        dimension="region",
                        stereotypes={},
                        pack=PACK,
                        analysis=ANALYSIS,
                    )
                    held.append(own.v_low <= v <= own.v_high)
                yield rate(
                    (
                        f"V {v}, {size[0]} labels, {size[1]} "
                        f"groups{', one of 80%' if first != 0.5 else ''}, n {n}"
                    ),
                    "coverage of V",
                    held,
                )


def of_values(runs: int) -> Iterator[Row]:
    """Mean distance of a country over its questions, whose distances are beta."""
    for a, b in ((2, 5), (5, 5), (1, 4)):
        for n in (3, 6, 20):
            draws, held = np.random.default_rng(7).beta(a, b, (runs, n)), []
            for own in draws:
                (mean,) = by_country(
                    [ShareComparison("X", str(i), d, np.nan, (1, 1), 0, False) for i, d in enumerate(own)]
                )
                held.append(mean.low <= a / (a + b) <= mean.high)
            yield rate(f"distances of Beta({a}, {b}), {n} questions", "coverage of values", held)


def of_macro_f1(runs: int) -> Iterator[Row]:
    """Macro-F1 of one arm, and its change between two that err alike in seven of ten items."""
    names = np.array(["a", "b", "c", "other"])
    for share in ([1 / 3] * 3, [0.6, 0.25, 0.15]):
        for accuracy in (0.6, 0.9, 0.97):
            for n in (60,):
                truth = population(np.array(share), accuracy)
                rng, held, moved, apart = np.random.default_rng(8), [], [], []
                for _ in range(runs // 2):
                    target = rng.choice(3, n, p=share)
                    arms = [predicted(rng, target, accuracy)]
                    again = predicted(rng, target, accuracy)
                    arms.append(np.where(rng.random(n) < 0.7, arms[0], again))
                    frames = [
                        pd.DataFrame(
                            {
                                "item_id": [f"i{i}" for i in range(n)],
                                "target": names[target],
                                "prediction": names[own],
                            }
                        )
                        for own in arms
                    ]
                    level, change = (
                        macro_f1.level(frames[:1], ANALYSIS),
                        macro_f1.change([(frames[1], frames[0])], ANALYSIS),
                    )
                    if len(set(target)) == 3:
                        held.append(level.low <= truth <= level.high)
                        moved.append(change.low <= 0 <= change.high)
                        apart.append(change.p < 0.05)
                world = f"labels {'/'.join(f'{100 * s:.0f}' for s in share)}, accuracy {accuracy}, n {n}"
                yield rate(world, "coverage of macro-F1", held)
                yield rate(world, "coverage of no change of macro-F1", moved)
                yield rate(world, "p < .05 without a change of macro-F1", apart)


def predicted(rng: np.random.Generator, target: Array, accuracy: float) -> Array:
    """The target, or one of four answers."""
    return np.where(rng.random(len(target)) < accuracy, target, rng.integers(0, 4, len(target)))


def population(share: Array, accuracy: float) -> float:
    """Macro-F1 of `predicted` without end."""
    cells = 1e6 * share[:, None] * (accuracy * np.eye(3, 4) + (1 - accuracy) / 4)
    return float(macro_f1.macro_f1(cells))


WORLDS = (of_shares, of_ties, of_reading, of_corrected, of_v, of_values, of_macro_f1)


def rows(runs: int) -> list[Row]:
    """(world, what, rate, its standard error) of every world; the slow ones have fewer runs."""
    return [row for world in WORLDS for row in world(runs)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--world", choices=[w.__name__ for w in WORLDS], nargs="*", help="only these")
    args, start = parser.parse_args(), time.perf_counter()
    for world in WORLDS:
        if not args.world or world.__name__ in args.world:
            for name, what, share, error in world(args.runs):
                print(f"{name:70}{what:45}{100 * share:6.1f}% ± {100 * error:.1f}", flush=True)
    print(f"{args.runs} runs; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
