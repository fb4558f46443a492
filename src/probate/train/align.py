"""The alignment loss L = L_SFT + λ·s·D (arXiv 2502.04419), D a distance of mean last hidden states.

A batch of eight gives a poor estimate of a mean. Therefore the difference Δ of the two means comes from
running means over past batches, and the gradient goes through the current batch: ∇‖Δ‖² = 2Δ·∇Δ, with Δ from
the running means (held fixed) and ∇Δ from the batch. A batch of a single origin thus still has a gradient for
its side. λ is relative: s scales D to the size of L_SFT, both averaged over the first steps, in which the
alignment term is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from probate.train.settings import AlignSettings

SCALE_STEPS = 8
"""Number of first steps over which s is measured."""
QUEUE = 128
"""Number of past records per origin that MMD and CORAL also use, without gradient."""
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Bandwidths of the Gaussian kernels, as multiples of the median squared distance."""


@dataclass
class Alignment:
    """The running state of the alignment loss of one training; `term` is called once per batch."""

    settings: AlignSettings
    labels: Sequence[str]
    means: dict[str, torch.Tensor] = field(default_factory=dict)
    scale: float = 0.0
    first: list[tuple[float, float]] = field(default_factory=list)
    """(L_SFT, D) of the steps before the scale is fixed."""

    def term(
        self, features: torch.Tensor, augmented: Sequence[bool], labels: Sequence[str]
    ) -> tuple[torch.Tensor, float]:
        """Compute the alignment term of a batch.

        Parameters
        ----------
        features : Tensor of shape (batch, width)
            Mean last hidden state of each record.
        augmented : sequence of bool, of shape (batch,)
            True for augmented records.
        labels : sequence of str, of shape (batch,)
            Label of each record.

        Returns
        -------
        term : Tensor
            The unscaled term to add to the loss. Its value is 0 and its gradient is that of the distance.
        distance : float
            The distance D, at least 0; lower means more similar. NaN while one origin has not been seen.
        """
        features = features.float()
        side = torch.tensor(list(augmented), device=features.device)
        terms, values = [], []
        for name in self.labels if self.settings.within_label else [""]:
            own = torch.tensor([not name or label == name for label in labels], device=features.device)
            parts = [features[own & ~side], features[own & side]]
            result = self._mean(name, parts) if self.settings.kind == "mean" else self._queued(name, parts)
            if result is not None:
                terms.append(result[0])
                values.append(result[1])
        if not terms:
            return features.sum() * 0.0, float("nan")
        return torch.stack(terms).mean(), float(sum(values) / len(values))

    def _mean(self, name: str, parts: list[torch.Tensor]) -> tuple[torch.Tensor, float] | None:
        """Return term and squared distance of the running means, None until both origins were seen."""
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
        """Return term and distance (MMD or CORAL) of batch and past records, or None for too few."""
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
        """Return λ·s, which is 0 until the scale is fixed."""
        return self.settings.weight * self.scale

    def see(self, loss: float, distance: float) -> None:
        """Record L_SFT and D of one optimizer step; after the first steps, their ratio becomes s."""
        if self.scale or distance != distance:
            return
        self.first.append((loss, distance))
        if len(self.first) == SCALE_STEPS:
            total = sum(d for _, d in self.first)
            self.scale = sum(value for value, _ in self.first) / total if total > 0 else 0.0

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the state as tensors for a checkpoint."""
        return {f"align.mean.{key}": value.cpu().contiguous() for key, value in self.means.items()} | {
            "align.first": torch.tensor(self.first, dtype=torch.float64).reshape(-1, 2),
            "align.scale": torch.tensor([self.scale], dtype=torch.float64),
        }

    def restore(self, tensors: dict[str, torch.Tensor], device: torch.device) -> None:
        """Restore the state from `tensors`."""
        self.means = {
            k.removeprefix("align.mean."): v.to(device)
            for k, v in tensors.items()
            if k.startswith("align.mean.")
        }
        self.first = [(float(a), float(b)) for a, b in tensors["align.first"]]
        self.scale = float(tensors["align.scale"][0])


def mmd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute the squared maximum mean discrepancy, averaged over Gaussian kernels.

    The estimate is biased, so it is at least 0; lower means more similar. The bandwidths are `BANDWIDTHS`
    times the median squared distance of the pooled points, held fixed.

    Parameters
    ----------
    x, y : Tensor of shape (records, width)
        The two samples.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    Gretton et al. (2012), A Kernel Two-Sample Test.
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
    """Compute ‖C_x − C_y‖²_F / 4d² plus ‖x̄ − ȳ‖² / d, with covariances C over d dimensions.

    The value is at least 0; lower means more similar.

    Parameters
    ----------
    x, y : Tensor of shape (records, d)
        The two samples.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    Sun and Saenko (2016), Deep CORAL.
    """
    d = x.shape[1]
    return (torch.cov(x.T) - torch.cov(y.T)).square().sum() / (4 * d * d) + (
        x.mean(0) - y.mean(0)
    ).square().sum() / d
