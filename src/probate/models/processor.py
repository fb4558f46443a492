"""What this machine's processor can do; loads no torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
"""Flags of processors (x86-64 and Arm) with products in bfloat16, as Linux names them."""


@cache
def has_bfloat16(path: Path = CPUINFO) -> bool:
    """Return whether the processor has instructions for products in bfloat16.

    Parameters
    ----------
    path : Path
        Linux's description of the processors.

    Returns
    -------
    bool
        False on other systems, where this is not known.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = [
        line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))
    ]
    return bool(flags) and all(BFLOAT16 & set(own) for own in flags)
