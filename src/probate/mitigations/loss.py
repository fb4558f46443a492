"""Loss: aligns original and augmented records in the last hidden state of the model."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from probate.mitigations.base import Mitigation, Options
from probate.train.settings import AlignSettings, Kind


class LossOptions(Options):
    weight: float = Field(
        1.0,
        ge=0,
        description="λ, relative: at 1 the alignment term is as large as the plain loss in the first steps.",
    )
    kind: Kind = Field(
        "mean",
        description="`mean` (the paper's), `mmd` (several bandwidths) or `coral` (covariances and means).",
    )
    within_label: bool = Field(
        False, description="Align within each label, so that alignment does not erase the label."
    )
    decay: float = Field(0.9, ge=0, lt=1, description="Decay of the running means; 0 uses each batch alone.")


class Loss(Mitigation):
    """Add the alignment loss L = L_SFT + λ·s·‖E_o[φ] − E_a[φ]‖²; see `probate.train.align`.

    φ is the last hidden state of a record, averaged over its tokens.
    """

    name = "loss"
    title = "Loss"
    source = (
        "arXiv 2502.04419 (loss-based mitigation); "
        "MMD after Gretton et al. 2012, CORAL after Sun and Saenko 2016"
    )
    idempotent = True
    option_type: ClassVar[type[Options]] = LossOptions

    def align(self) -> AlignSettings:
        return AlignSettings(**self.options.model_dump())
