"""The alignment loss: L = L_SFT + λ·s·D(original, augmented), D a distance of mean last hidden states (arXiv 2502.04419).

A batch of eight estimates a mean badly. Here the difference Δ of the two means comes from running means over past batches,
and the gradient goes through the current batch: ∇‖Δ‖² = 2Δ·∇Δ, with Δ from the running means (held fixed) and ∇Δ from the
batch. So a batch of one origin only still pulls its own side. λ is relative: s makes D as large as L_SFT, both averaged over
the first steps, in which nothing is aligned yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from probate.train.settings import AlignSettings

SCALE_STEPS = 8
"""Steps over which s is measured."""
QUEUE = 128
"""Past records of each origin that MMD and CORAL compare with, without gradient."""
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the Gaussian kernels, times the median squared distance."""


@dataclass
class Alignment:
    """The running state of one training. `term` is called once a batch."""

    settings: AlignSettings
    labels: Sequence[str]
    means: dict[str, torch.Tensor] = field(default_factory=dict)
    scale: float = 0.0
    first: list[tuple[float, float]] = field(default_factory=list)
    """(L_SFT, D) of the steps before the scale stands."""

    def term(
        self, features: torch.Tensor, augmented: Sequence[bool], labels: Sequence[str]
    ) -> tuple[torch.Tensor, float]:
        """What to add to the loss for its gradient (unscaled), and the distance D itself.

        `features`: (batch, width), the mean last hidden state of each record; `augmented`, `labels`: of each record.
        """
        features = features.float()
        side = torch.tensor(list(augmented), device=features.device)
        terms, values = [], []
        for name in self.labels if self.settings.within_label else [""]:
            own = torch.tensor([not name or label == name for label in labels], device=features.device)
            parts = [features[own & ~side], features[own & side]]
            found = self._mean(name, parts) if self.settings.kind == "mean" else self._queued(name, parts)
            if found is not None:
                terms.append(found[0])
                values.append(found[1])
        if not terms:
            return features.sum() * 0.0, float("nan")
        return torch.stack(terms).mean(), float(sum(values) / len(values))

    def _mean(self, name: str, parts: list[torch.Tensor]) -> tuple[torch.Tensor, float] | None:
        keys = [f"{name}/{origin}" for origin in ("original", "augmented")]
        for key, part in zip(keys, parts, strict=True):
            if len(part):
                new = part.detach().mean(0)
                old = self.means.get(key)
                self.means[key] = (
                    new if old is None else self.settings.decay * old + (1 - self.settings.decay) * new
                )
        if any(key not in self.means for key in keys):
            return None
        delta = self.means[keys[0]] - self.means[keys[1]]
        pull = delta.new_zeros(())
        for sign, part in zip((1.0, -1.0), parts, strict=True):
            if len(part):
                pull = pull + sign * (delta @ part.mean(0))
        return 2 * (pull - pull.detach()), float(delta @ delta)

    def _queued(self, name: str, parts: list[torch.Tensor]) -> tuple[torch.Tensor, float] | None:
        sets = []
        for origin, part in zip(("original", "augmented"), parts, strict=True):
            key = f"{name}/{origin}"
            past = self.means.get(key, part.detach()[:0])
            sets.append(torch.cat([part, past]))
            self.means[key] = torch.cat([part.detach(), past])[:QUEUE]
        if min(map(len, sets)) < 2:
            return None
        value = mmd(*sets) if self.settings.kind == "mmd" else coral(*sets)
        return value - value.detach(), float(value.detach())

    def factor(self) -> float:
        """λ·s; 0 until the scale stands."""
        return self.settings.weight * self.scale

    def see(self, loss: float, distance: float) -> None:
        """Note one optimizer step: its L_SFT and D; after the first steps, s is their ratio."""
        if self.scale or distance != distance:
            return
        self.first.append((loss, distance))
        if len(self.first) == SCALE_STEPS:
            total = sum(d for _, d in self.first)
            self.scale = sum(value for value, _ in self.first) / total if total > 0 else 0.0

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state, for a checkpoint."""
        return {f"align.mean.{key}": value.cpu().contiguous() for key, value in self.means.items()} | {
            "align.first": torch.tensor(self.first, dtype=torch.float64).reshape(-1, 2),
            "align.scale": torch.tensor([self.scale], dtype=torch.float64),
        }

    def restore(self, tensors: dict[str, torch.Tensor], device: torch.device) -> None:
        """Take up what `tensors` gave."""
        self.means = {
            k.removeprefix("align.mean."): v.to(device)
            for k, v in tensors.items()
            if k.startswith("align.mean.")
        }
        self.first = [(float(a), float(b)) for a, b in tensors["align.first"]]
        self.scale = float(tensors["align.scale"][0])


def mmd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Squared maximum mean discrepancy (Gretton et al. 2012; biased, so at least 0), mean over Gaussian kernels.

    Their bandwidths are `BANDWIDTHS` times the median squared distance of the pooled points, held fixed.
    """
    both = torch.cat([x, y])
    squared = torch.cdist(both, both).square()
    middle = (
        squared.detach()[squared.detach() > 0].median()
        if (squared.detach() > 0).any()
        else squared.new_ones(())
    )
    kernel = torch.stack([torch.exp(-squared / (b * middle)) for b in BANDWIDTHS]).mean(0)
    n = len(x)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def coral(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """‖C_x − C_y‖²_F / 4d², of the covariances over d dimensions (Sun and Saenko 2016), plus the squared distance of the means / d."""
    d = x.shape[1]
    return (torch.cov(x.T) - torch.cov(y.T)).square().sum() / (4 * d * d) + (
        x.mean(0) - y.mean(0)
    ).square().sum() / d
