"""A base model with a PEFT adapter on it, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probate.errors import InputError
from probate.models.checks import check_adapter_folder, check_adapter_weights, check_warnings
from probate.models.quiet import quiet


@contextmanager
def wearing(base: Any, adapter: Path) -> Iterator[Any]:
    """`base` (a causal LM) with the PEFT adapter in the folder `adapter`; it comes back as it was."""
    model = _load(base, str(adapter)).eval()
    try:
        yield model
    finally:
        model.unload()
        base.__dict__.pop("peft_config", None)


def merged(model: Any, adapter: str, base: str) -> Any:
    """`model`, which was loaded from `base`, with the adapter's weights added to its own.

    Raises:
        InputError: no such adapter, or one of another model.
    """
    check_adapter_folder(adapter, base)
    return _load(model, str(Path(adapter).expanduser()) if Path(adapter).expanduser().exists() else adapter).merge_and_unload()


def _load(base: Any, adapter: str) -> Any:
    """A PEFT model; PEFT only warns of weights that do not fit."""
    from peft import PeftModel
    from torch.random import fork_rng

    try:
        with quiet() as warned, fork_rng():  # PEFT draws weights before it reads them
            model = PeftModel.from_pretrained(base, adapter)
            check_adapter_weights(adapter, model)
        check_warnings(adapter, warned)
    except InputError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())
        raise InputError(f"adapter '{adapter}' does not fit the model ({line[:300]})") from None
    return model
