"""Formats for p values."""

from __future__ import annotations

import numpy as np


def p_figure(p: float) -> str:
    """Return p for a line of numbers."""
    return "–" if not np.isfinite(p) else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def p_words(p: float) -> str:
    """Return p for a sentence."""
    if not np.isfinite(p):
        return "p not defined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
