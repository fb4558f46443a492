"""Attach a PEFT adapter to a base model temporarily, or merge it into the model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probate.core.deferred import deferred
from probate.core.errors import InputError, first_line
from probate.models.adapter_files import CONFIG, WEIGHTS
from probate.models.checks import check_adapter_folder, check_adapter_weights, check_warnings
from probate.models.quiet import quiet

with deferred():
    from probate.models import lora


@contextmanager
def attached(base: Any, adapter: Path) -> Iterator[Any]:
    """Attach a PEFT adapter to a model for the duration of a `with` block.

    Parameters
    ----------
    base : PreTrainedModel
        A causal LM of transformers. It is restored to its original state when the block ends.
    adapter : Path
        Folder of the adapter, as PEFT saved it.

    Yields
    ------
    PeftModel
        The model with the adapter attached, in eval mode.

    Raises
    ------
    InputError
        The adapter does not fit the model.
    """
    model = _load(base, str(adapter)).eval()
    lora.lean_lora(model)
    try:
        yield model
    finally:
        model.unload()
        base.__dict__.pop("peft_config", None)


def merge_adapter(model: Any, adapter: str, base: str) -> Any:
    """Merge the weights of a PEFT adapter into a model.

    Parameters
    ----------
    model : PreTrainedModel
        The causal LM, loaded from `base`.
    adapter : str
        A local folder, or the id of an adapter on the hub.
    base : str
        Name of the base model, which must be the one the adapter was trained on.

    Returns
    -------
    PreTrainedModel
        The model with the adapter's weights added to its own.

    Raises
    ------
    InputError
        The adapter does not exist, was trained on another model, or is not a LoRA in safetensors format.
    """
    folder = Path(adapter).expanduser()
    if not folder.exists() and not adapter.startswith((".", "/", "~")):
        folder = _from_hub(adapter)
    check_adapter_folder(adapter, folder, base)
    return _load(model, str(folder)).merge_and_unload()


def _from_hub(adapter: str) -> Path:
    """Download an adapter's configuration and its safetensors from the hub, and no other file."""
    from huggingface_hub import snapshot_download

    wanted = [CONFIG, WEIGHTS]
    try:
        return Path(snapshot_download(adapter, allow_patterns=wanted, local_files_only=True))
    except Exception:  # noqa: S110 (not in the cache or not an id: the hub is tried next)
        pass
    try:
        return Path(snapshot_download(adapter, allow_patterns=wanted))
    except Exception as error:
        raise InputError(
            f"model.adapter '{adapter}': no such local folder, not in the local Hugging Face cache, and not "
            f"available from the hub ({first_line(error)})"
        ) from None


def _load(base: Any, adapter: str) -> Any:
    """Load a PEFT model and check its weights, because PEFT only warns about weights that do not fit."""
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
