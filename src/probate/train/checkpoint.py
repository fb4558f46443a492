"""The state of a training between epochs, as one safetensors file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file

from probate.core.files import atomic
from probate.train.align import Alignment


def checkpoint(
    folder: Path,
    weights: dict[str, Any],
    optimizer: Any,
    losses: list[float],
    epoch: int,
    distances: list[float],
    aligned: Alignment | None,
) -> None:
    """Write weights, optimizer and alignment state atomically as one safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"weight.{name}": p.detach().cpu().contiguous() for name, p in weights.items()}
    for name, p in weights.items():
        for key, value in optimizer.state[p].items():
            tensors[f"{key}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    if aligned is not None:
        tensors |= aligned.tensors()
    metadata = {"epoch": str(epoch), "losses": json.dumps(losses), "distances": json.dumps(distances)}
    metadata["check"] = _check(tensors, metadata)
    with atomic(folder / "state.safetensors") as part:
        save_file(tensors, str(part), metadata=metadata)


def restore(
    folder: Path,
    weights: dict[str, Any],
    optimizer: Any,
    losses: list[float],
    distances: list[float],
    aligned: Alignment | None,
) -> int:
    """Load a valid checkpoint, if there is one; return the first epoch that remains to be done."""
    path = folder / "state.safetensors"
    if not path.exists():
        return 0

    try:
        with safe_open(str(path), framework="pt") as handle:
            metadata = handle.metadata() or {}
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError):
        return 0
    if metadata.pop("check", "") != _check(tensors, metadata):
        return 0
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(tensors[f"weight.{name}"])
            optimizer.state[p] = {
                key: tensors[f"{key}.{name}"].to(p.device if key != "step" else "cpu")
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
    losses.extend(json.loads(metadata["losses"]))
    distances.extend(json.loads(metadata.get("distances", "[]")))
    if aligned is not None:
        aligned.restore(tensors, next(iter(weights.values())).device)
    return int(metadata["epoch"])


def _check(tensors: dict[str, Any], metadata: dict[str, str]) -> str:
    """Return the SHA-256 of a checkpoint's content."""
    hashed = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        own = tensors[name]
        hashed.update(f"{name} {own.dtype} {tuple(own.shape)}\n".encode())
        hashed.update(own.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
