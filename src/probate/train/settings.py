"""Settings of the alignment loss: apart, so that they load without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["mean", "mmd", "coral"]


@dataclass(frozen=True)
class AlignSettings:
    """`weight` is λ, at least 0; `decay` that of the running means, in [0, 1); `within_label`: one distance a label, averaged."""

    weight: float = 1.0
    kind: Kind = "mean"
    within_label: bool = False
    decay: float = 0.9
