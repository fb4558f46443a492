"""The paper's taxonomy of bias types: framing × composition × expression, plus neutral."""

from __future__ import annotations

from itertools import product

FRAMINGS = ("contextual", "contrastive")
COMPOSITIONS = ("single", "intersectional")
EXPRESSIONS = ("explicit", "implicit")
NEUTRAL = "neutral"
SYNTHETIC = "neutral-synthetic"
"""Neutral generations that are studied themselves, such as those of every round in the paper."""
SECOND = f"{NEUTRAL} (second)"
"""The second matched control, in tables."""

BIAS_TYPES = tuple("-".join(parts) for parts in product(FRAMINGS, COMPOSITIONS, EXPRESSIONS))
PAPER_TYPES = (
    "contextual-single-explicit",
    "contextual-single-implicit",
    "contextual-intersectional-explicit",
    "contextual-intersectional-implicit",
    "contrastive-single-explicit",
    "contrastive-single-implicit",
)
"""The six bias types of the paper's gender study (arXiv 2502.04419)."""
