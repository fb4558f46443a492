"""A base model with a PEFT adapter on it, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probate.core.errors import InputError, first_line
from probate.models.adapter_files import CONFIG, WEIGHTS
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
        InputError: no such adapter, one of another model, or one that is no LoRA in safetensors.
    """
    folder = Path(adapter).expanduser()
    if not folder.exists() and not adapter.startswith((".", "/", "~")):
        folder = _from_hub(adapter)
    check_adapter_folder(adapter, folder, base)
    return _load(model, str(folder)).merge_and_unload()


def _from_hub(adapter: str) -> Path:
    """The folder of an adapter of the hub: its configuration and its safetensors, nothing else."""
    from huggingface_hub import snapshot_download

    wanted = [CONFIG, WEIGHTS]
    try:
        return Path(snapshot_download(adapter, allow_patterns=wanted, local_files_only=True))
    except Exception:  # noqa: S110 (not in the cache, or no id: asked next)
        pass
    try:
        return Path(snapshot_download(adapter, allow_patterns=wanted))
    except Exception as error:
        raise InputError(
            f"model.adapter '{adapter}': no local folder, not in the local Hugging Face cache, and not to be had from the hub ({first_line(error)})"
        ) from None


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
