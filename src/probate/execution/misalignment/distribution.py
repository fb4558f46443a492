"""Comparison of original and augmented texts: by embeddings, by words and by lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.plugins import require
from probate.execution.misalignment.words import nulls, sources_said
from probate.models.lm import LM
from probate.stats import distribution as tests
from probate.stats.wording import distinct, evenly, length_matched, lengths, telling_words

with deferred():
    from probate.train import distance, losses


Embed = Callable[[Sequence[str]], np.ndarray]
FEWEST_PAIRS = 20
MAPPED = 300
"""Most texts of each set on a map."""


def hidden_states(lm: LM, limit: int = 512) -> Embed:
    """Return a function that embeds texts as the mean of `lm`'s last hidden states over their tokens.

    This is the space of the alignment loss.

    Parameters
    ----------
    lm : LM
        The model.
    limit : int, default 512
        Most tokens of a text; the rest is ignored.

    Returns
    -------
    callable
        n texts → array of shape (n, hidden size). It raises InputError for a text of fewer than two tokens.
    """

    def embed(texts: Sequence[str]) -> np.ndarray:
        rows = [lm.text_ids(text)[:limit] for text in texts]
        short = next((i for i, row in enumerate(rows) if len(row) < 2), None)
        if short is not None:
            raise InputError(f"text {short + 1} has fewer than two tokens: '{texts[short]}'")
        return (
            distance.mean_states(lm.model, [losses.Example(row[:-1], row[-1:]) for row in rows], lm.pad_id)
            .float()
            .numpy()
        )

    return embed


def compare_distributions(
    original: Sequence[str],
    augmented: Sequence[str],
    spaces: dict[str, Embed],
    *,
    groups: tuple[Sequence[str], Sequence[str]] | None = None,
    sources: tests.Sources | None = None,
    method: str = "pca",
    permutations: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two sets of texts, in each space once as they are and once matched in length.

    Parameters
    ----------
    original, augmented : sequence of str
        The texts.
    spaces : dict of str to callable
        Name of a space → function that embeds texts.
    groups : tuple of two sequences of str, optional
        The group of each text, for the map.
    sources : tuple, optional
        The source of each text (`probate.data.shape.sources`). Default: each text is its own source.
    method : {"pca", "umap"}, default "pca"
        Method of the map.
    permutations : int, default 10000
        Permutations of the tests.
    seed : int, default 0
        Seed of the permutations and of the map.

    Returns
    -------
    dict
        `lengths` (mean and standard deviation of words), `distinct` (share of different bigrams in equal
        amounts of text, in [0, 1]), `words` (words that distinguish the sets), and for each space `all` and
        `matched` (`probate.stats.distribution.summary`; None with fewer than 20 pairs of equal length) and
        `map` (`mapped`).

    Raises
    ------
    InputError
        A text is too short to embed, or the library of the map is missing.
    """
    result, pairs = told(original, augmented)
    for name, embed in spaces.items():
        x, y = embed(list(original)), embed(list(augmented))
        result["spaces"][name] = {
            **tested(x, y, pairs, permutations, seed, sources),
            "map": mapped(x, y, groups or ([""] * len(x), [""] * len(y)), method, seed),
        }
    return result


def told(
    original: Sequence[str], augmented: Sequence[str]
) -> tuple[dict[str, Any], tuple[list[int], list[int]]]:
    """Compare two sets of texts without embeddings; also return the pairs of equal length."""
    pairs = length_matched(original, augmented)
    least = min(len(original), len(augmented))
    sizes = [lengths(original), lengths(augmented)]
    result: dict[str, Any] = {
        "n": [len(original), len(augmented)],
        "lengths": [[float(s.mean()), float(s.std(ddof=1)) if len(s) > 1 else 0.0] for s in sizes],
        "distinct": [distinct([side[i] for i in evenly(len(side), least)]) for side in (original, augmented)],
        "words": [asdict(w) for w in telling_words(original, augmented)],
        "pairs": len(pairs[0]),
        "spaces": {},
    }
    return result, pairs


def tested(
    x: np.ndarray,
    y: np.ndarray,
    pairs: tuple[list[int], list[int]],
    permutations: int,
    seed: int,
    sources: tests.Sources | None,
) -> dict[str, dict[str, Any] | None]:
    """Test two sets in one space: `all` on all points, `matched` on pairs of equal length.

    `matched` is None with fewer than 20 pairs.
    """
    left, right = pairs
    own = ([sources[0][i] for i in left], [sources[1][i] for i in right]) if sources else None
    matched = tests.summary(x[left], y[right], permutations, seed, own) if len(left) >= FEWEST_PAIRS else None
    return {
        "all": _plain(tests.summary(x, y, permutations, seed, sources)),
        "matched": _plain(matched) if matched else None,
    }


def mapped(
    x: np.ndarray, y: np.ndarray, groups: tuple[Sequence[str], Sequence[str]], method: str, seed: int
) -> dict[str, Any]:
    """Map both sets to two dimensions, with at most 300 texts of each.

    Parameters
    ----------
    x, y : array of shape (n, d) and (m, d)
        Embeddings of the original and the augmented texts.
    groups : tuple of two sequences of str
        The group of each text.
    method : {"pca", "umap"}
        Method of the map.
    seed : int
        Seed of UMAP.

    Returns
    -------
    dict
        `original` and `augmented` as lists of [x, y, group], and `axes`, which says what the axes are.

    Raises
    ------
    InputError
        The library of `umap` is missing.
    """
    if method == "umap":
        umap: Any = require("umap", "maps")
        both = umap.UMAP(random_state=seed, n_jobs=1).fit_transform(np.concatenate([x, y]))
        parts = (both[: len(x)], both[len(x) :])
        axes = "UMAP: nearby points are similar; distances between clusters mean little"
    else:
        *sides, share = tests.principal_map(x, y)
        axes = (
            f"first two principal components, {100 * share[0]:.0f}% and {100 * share[1]:.0f}% of the variance"
        )
        parts = (sides[0], sides[1])
    points: dict[str, Any] = {"axes": axes}
    for name, part, own in zip(("original", "augmented"), parts, groups, strict=True):
        chosen = evenly(len(part), MAPPED)
        points[name] = [[round(float(part[i, 0]), 3), round(float(part[i, 1]), 3), own[i]] for i in chosen]
    return points


def _plain(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary with its dataclasses as dictionaries, so that it can be written as JSON."""
    return summary | {
        "distances": [asdict(e) for e in summary["distances"]] if summary["distances"] else None,
        "auc": asdict(summary["auc"]) if summary["auc"] else None,
    }


def sentences(result: dict[str, Any]) -> list[str]:
    """Return the comparison as sentences."""
    (n, m), ((a, sa), (b, sb)) = result["n"], result["lengths"]
    said = [
        f"{n:,} original and {m:,} augmented texts; words per text: {a:.0f} (sd {sa:.0f}) and {b:.0f} (sd "
        f"{sb:.0f}); different bigrams in equal amounts of text: {100 * result['distinct'][0]:.0f}% and "
        f"{100 * result['distinct'][1]:.0f}%",
    ]
    for name, space in result["spaces"].items():
        for title, part in (
            ("all texts", space["all"]),
            (f"{result['pairs']} pairs of equal length", space["matched"]),
        ):
            if part is None:
                said.append(f"{name}, {title}: fewer than {FEWEST_PAIRS}, not compared")
                continue
            said.append(f"{name}, {title}: " + "; ".join(_parts(part)))
            said += [f"  {null}" for null in nulls(part)]
    words = result["words"]
    for title, own in (
        ("original", [w for w in words if w["z"] < -2]),
        ("augmented", [w for w in reversed(words) if w["z"] > 2]),
    ):
        said.append(
            f"words of the {title} texts: "
            + (", ".join(f"{w['word']} ({w['first']}:{w['second']})" for w in own) or "none is distinctive")
        )
    return said


def _parts(part: dict[str, Any]) -> list[str]:
    said = [f"{e['name']} {e['value']:.4g}, p {e['p']:.4g}" for e in part["distances"] or []]
    if part["auc"]:
        e = part["auc"]
        said.append(f"classifier AUC {e['value']:.3f} [{e['low']:.3f}, {e['high']:.3f}], p {e['p']:.4g}")
    if part["manifold"]:
        said.append(", ".join(f"{k} {v:.2f}" for k, v in part["manifold"].items()))
    return [*said, f"Vendi {part['vendi'][0]:.1f} and {part['vendi'][1]:.1f}", sources_said(part)]
