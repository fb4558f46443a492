"""Loss: original and augmented records are drawn together in the model's last hidden state."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from probate.mitigations.base import Mitigation, Options
from probate.train.settings import AlignSettings, Kind


class LossOptions(Options):
    weight: float = Field(
        1.0,
        ge=0,
        description="λ, relative: at 1 the alignment term is as large as the plain loss was in the first steps.",
    )
    kind: Kind = Field(
        "mean",
        description="`mean` (the paper's), `mmd` (several bandwidths) or `coral` (covariances and means).",
    )
    within_label: bool = Field(
        False, description="Align within each label, so that aligning does not erase the label."
    )
    decay: float = Field(0.9, ge=0, lt=1, description="Of the running means; 0 takes each batch alone.")


class Loss(Mitigation):
    """L = L_SFT + λ·s·‖E_o[φ] − E_a[φ]‖², φ the mean last hidden state over a record's tokens; see `probate.train.align`."""

    name = "loss"
    title = "Loss"
    source = "arXiv 2502.04419 (loss-based mitigation); MMD after Gretton et al. 2012, CORAL after Sun and Saenko 2016"
    idempotent = True
    option_type: ClassVar[type[Options]] = LossOptions

    def align(self) -> AlignSettings:
        return AlignSettings(**self.options.model_dump())
