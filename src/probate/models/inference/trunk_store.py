"""States of shared trunks on disk, so that later runs begin where an earlier one ended.

The folder is that of the environment variable PROBATE_TRUNKS, else `trunks` in the cache; if the variable is
set and empty, nothing is kept. Each process appends to a segment of its own: one file with a record of fixed
size for each state (the key of its tokens, and a checksum), and one with the states. Other processes map the
segments into memory, and see what was added since. The oldest segments are deleted when the folder is full.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
import torch

from probate.models.embedded import cache_dir

MOST_BYTES = 2**31
"""Largest size of the folder in bytes."""
KEPT = 0.5
"""Share of it that is left when the oldest segments are deleted."""
KEY = 16
RECORD = np.dtype([("first", "<u8"), ("second", "<u8"), ("check", "<u4")])
"""Both halves of the key of a state, and its CRC-32."""
KEYS, STATES = ".keys", ".states"


def trunk_dir() -> Path | None:
    """Return the folder of all trunks' states, or None if nothing is to be kept."""
    named = os.environ.get("PROBATE_TRUNKS")
    return cache_dir() / "trunks" if named is None else Path(named) if named else None


def key_of(*parts: bytes) -> bytes:
    """Return the key of a sequence: the hash of the key of its beginning and its last token."""
    return hashlib.blake2b(b"".join(parts), digest_size=KEY).digest()


def weights_key(modules: dict[str, Any], *about: str) -> bytes:
    """Return the hash of all parameters and buffers of modules, and of what else the states depend on."""
    hashed = hashlib.blake2b(digest_size=KEY)
    for part in about:
        hashed.update(part.encode() + b"\0")
    for prefix, module in modules.items():
        for name, tensor in module.state_dict(keep_vars=False).items():
            hashed.update(f"{prefix}.{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
            hashed.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy())
    return hashed.digest()


class TrunkStore:
    """The states of one trunk on disk.

    Parameters
    ----------
    root : Path
        Folder of all trunks.
    trunk : bytes
        Key of the trunk (`weights_key`).
    width : int
        Length of a state.
    dtype : torch.dtype
        Type of the states, of 2 or 4 bytes.
    most : int
        Largest size of `root` in bytes.
    """

    def __init__(
        self, root: Path, trunk: bytes, width: int, dtype: torch.dtype, most: int = MOST_BYTES
    ) -> None:
        self._folder = root / trunk.hex()
        self._width, self._dtype = width, dtype
        self._number = {2: np.uint16, 4: np.uint32}[dtype.itemsize]
        self._index: dict[Path, tuple[int, np.ndarray, np.ndarray]] = {}
        self._own: tuple[BinaryIO, BinaryIO] | None = None
        self._left = 0
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._left = most - _shrink(root, most)

    def read(self, keys: Sequence[bytes]) -> dict[int, torch.Tensor]:
        """Return the place in `keys` → state, of those that are kept and whole."""
        self._look()
        wanted = np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2)
        found: dict[int, torch.Tensor] = {}
        for path, (_, records, order) in self._index.items():
            at = np.searchsorted(records["first"], wanted[:, 0])
            at = np.minimum(at, len(records) - 1)
            hit = (records["first"][at] == wanted[:, 0]) & (records["second"][at] == wanted[:, 1])
            if not hit.any():
                continue
            try:
                mapped = np.memmap(path.with_suffix(STATES), self._number, "r").reshape(-1, self._width)
            except (OSError, ValueError):
                continue  # it was deleted, or is not whole
            for place in np.flatnonzero(hit).tolist():
                row = order[at[place]]
                if place not in found and row < len(mapped):
                    state = np.array(mapped[row])
                    if zlib.crc32(state.data) == records["check"][at[place]]:
                        found[place] = torch.from_numpy(state).view(self._dtype)
        return found

    def add(self, keys: Sequence[bytes], states: torch.Tensor) -> None:
        """Keep states of shape (keys, width), as long as there is room."""
        size = states.numel() * states.element_size()
        if not keys or size > self._left:
            return
        rows = states.detach().cpu().contiguous().view(torch.uint8).numpy()
        try:
            if self._own is None:
                name = self._folder / uuid4().hex
                self._own = name.with_suffix(STATES).open("xb"), name.with_suffix(KEYS).open("xb")
                for file in self._own:
                    os.chmod(file.name, 0o600)
            values, index = self._own
            values.write(rows.data)
            values.flush()
            records = np.empty(len(keys), RECORD)
            halves = np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2)
            records["first"], records["second"] = halves.T
            records["check"] = [zlib.crc32(row.data) for row in rows]
            index.write(records.tobytes())
            index.flush()
            self._left -= size
        except OSError:
            self._left = 0  # an unwritable cache only costs time

    def _look(self) -> None:
        """Read the records of segments to which something was added since the last look."""
        for path in sorted(self._folder.glob(f"*{KEYS}")):
            with suppress(OSError):
                size = path.stat().st_size // RECORD.itemsize
                if size and self._index.get(path, (0,))[0] != size:
                    records = np.fromfile(path, RECORD, size)
                    order = np.argsort(records["first"], kind="stable")
                    self._index[path] = size, records[order], order


def _shrink(root: Path, most: int) -> int:
    """Delete the oldest segments if there are too many bytes; return how many are left."""
    sizes = {
        path: (stat.st_mtime, stat.st_size) for path in root.glob(f"*/*{STATES}") if (stat := path.stat())
    }
    total = sum(size for _, size in sizes.values())
    if total > 0.75 * most:
        for path in sorted(sizes, key=lambda p: sizes[p]):
            if total <= KEPT * most:
                break
            path.with_suffix(KEYS).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            total -= sizes[path][1]
    return total
