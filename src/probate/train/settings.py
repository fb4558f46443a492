"""Settings of the alignment loss, in their own module so that they load without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["mean", "mmd", "coral"]


@dataclass(frozen=True)
class AlignSettings:
    """Settings of the alignment loss.

    Attributes
    ----------
    weight : float
        λ, at least 0.
    kind : {"mean", "mmd", "coral"}
        The distance.
    within_label : bool
        True to average one distance per label.
    decay : float
        Decay of the running means, in [0, 1).
    """

    weight: float = 1.0
    kind: Kind = "mean"
    within_label: bool = False
    decay: float = 0.9
