"""Error rate and power of the tests of two sets of texts, where texts share sources and where they do not.

python benchmarks/worlds/distribution.py [--runs 2000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from probate.stats.distribution import Sources, classifier_auc, fourier_mmd, mmd_and_energy

WIDTH = 8
PERMUTATIONS = 199
FOURIER = 64
LEVEL = 0.05
SHIFT = 0.25
"""Of every coordinate, in standard deviations of a text."""


@dataclass(frozen=True)
class World:
    """Sources of x alone, of y alone and of both, as texts of (x, y) in each.

    `alike`: the share of variance that is between sources.
    """

    name: str
    x: list[int]
    y: list[int]
    both: list[tuple[int, int]]
    alike: float


WORLDS = (
    World("independent, 100 v 100", [1] * 100, [1] * 100, [], 0.0),
    World("independent, 50 v 400", [1] * 50, [1] * 400, [], 0.0),
    World("5 texts a source, ICC .3", [5] * 40, [5] * 40, [], 0.3),
    World("5 texts a source, ICC .7", [5] * 40, [5] * 40, [], 0.7),
    World("10 sources of 10 texts, ICC .5", [10] * 10, [10] * 10, [], 0.5),
    World("1 v 5 texts a source, ICC 0", [1] * 40, [5] * 40, [], 0.0),
    World("1 v 5 texts a source, ICC .7", [1] * 40, [5] * 40, [], 0.7),
    World("sources of 1 to 9 texts, ICC .5", [1, 3, 5, 7, 9] * 8, [1, 3, 5, 7, 9] * 8, [], 0.5),
    World("each original with one paraphrase", [], [], [(1, 1)] * 100, 0.7),
    World("each original with 5 paraphrases", [], [], [(1, 5)] * 40, 0.7),
    World("half of the originals with 3 paraphrases", [1] * 40, [], [(1, 3)] * 40, 0.7),
    World("pairs, and y's own sources of 4 texts", [], [4] * 20, [(1, 1)] * 60, 0.5),
)


def draw(
    world: World, rng: np.random.Generator, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray, Sources]:
    """Points of both sets and their sources; y moved by `shift`."""
    held = [(k, 0) for k in world.x] + [(0, k) for k in world.y] + world.both
    names = [np.repeat(np.arange(len(held)), [k[side] for k in held]) for side in (0, 1)]
    centres = np.sqrt(world.alike) * rng.normal(size=(len(held), WIDTH))
    x, y = (centres[own] + np.sqrt(1 - world.alike) * rng.normal(size=(len(own), WIDTH)) for own in names)
    return x, y + shift, (names[0].tolist(), names[1].tolist())


def ps(x: np.ndarray, y: np.ndarray, sources: Sources | None, seed: int) -> Iterator[tuple[str, float]]:
    """(test, p) of each test."""
    for found in mmd_and_energy(x, y, PERMUTATIONS, seed, sources):
        yield found.name, found.p
    yield "MMD², limit law", fourier_mmd(x, y, 1000, seed, FOURIER, sources).p
    yield "classifier", classifier_auc(x, y, seed=seed, sources=sources).p


def rates(
    runs: int, shift: float = 0.0, known: bool = True, tests: Callable[..., Iterator[tuple[str, float]]] = ps
) -> list[tuple[str, str, float, float]]:
    """(world, test, share of runs with p ≤ .05, its Monte-Carlo standard error).

    Without `known` the tests are told no sources.
    """
    found = []
    for k, world in enumerate(WORLDS):
        rng = np.random.default_rng([k, 11])
        counts: dict[str, int] = {}
        for run in range(runs):
            x, y, sources = draw(world, rng, shift)
            for test, p in tests(x, y, sources if known else None, run):
                counts[test] = counts.get(test, 0) + (p <= LEVEL)
        for test, count in counts.items():
            rate = count / runs
            found.append((world.name, test, rate, float(np.sqrt(rate * (1 - rate) / runs))))
    return found


def rows(runs: int) -> list[tuple[str, str, float, float]]:
    """(world, test, false-positive rate, its Monte-Carlo standard error): both sets have one law."""
    return rates(runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    start = time.perf_counter()
    power = rates(max(1, runs // 5), SHIFT)
    print(f"share of p ≤ .05, %: with one law, with a shift of {SHIFT} sd")
    for (world, test, rate, error), (_, _, found, _) in zip(rows(runs), power, strict=True):
        print(f"{world:42}{test:17}{100 * rate:5.1f} ± {100 * error:3.1f}   {100 * found:5.1f}")
    print(f"{runs} runs; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
