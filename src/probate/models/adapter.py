"""A base model with a PEFT adapter on it, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def wearing(base: Any, adapter: Path) -> Iterator[Any]:
    """`base` (a causal LM) with the PEFT adapter in the folder `adapter`; it comes back as it was."""
    from peft import PeftModel

    from probate.models.quiet import quiet

    with quiet():
        model = PeftModel.from_pretrained(base, str(adapter)).eval()
    try:
        yield model
    finally:
        model.unload()
        base.__dict__.pop("peft_config", None)
