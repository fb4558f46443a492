"""Checks of a local adapter's files before PEFT reads them.

Only safetensors are accepted. Weights must be finite, and their sizes must agree with the config.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from probate.core.errors import InputError, first_line
from probate.core.parse import NotJson, json_value

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
LARGEST_CONFIG = 1024 * 1024
"""Maximum size of a config in bytes."""
LARGEST_RANK = 4096
RUN_BY_PEFT = "megatron_config"
"""Setting that makes PEFT import the module named in `megatron_core`."""
REPEATED = re.compile(r"\)[*+{]")
"""A repeated group in a pattern of module names, which can make matching take unbounded time."""
TYPES = ("LORA",)
"""PEFT types whose weights can be merged into those of the start model."""


class AdapterConfig(TypedDict, total=False):
    """Fields of an adapter's config that are used only after they were checked."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]
    peft_type: str
    r: int
    lora_alpha: int | float
    target_modules: list[str] | str | None
    rank_pattern: dict[str, int] | None
    base_model_name_or_path: str | None


def read_config(adapter: str, folder: Path) -> AdapterConfig:
    """Read and check the config of a local adapter.

    Parameters
    ----------
    adapter : str
        Name of the adapter, for error messages.
    folder : Path
        Folder of the adapter.

    Returns
    -------
    AdapterConfig
        The checked config.

    Raises
    ------
    InputError
        A file is missing or not a regular file, the config is not valid JSON, a field has the wrong type or
        is out of bounds, or the weights are a pickle.
    """
    where = f"model.adapter '{adapter}'"
    if not (folder / WEIGHTS).exists() and (folder / PICKLED).exists():
        raise InputError(
            f"{where}: {PICKLED} is a pickle, which can run arbitrary code, so it is not read; save the "
            f"weights as {WEIGHTS}"
        )
    for name in (CONFIG, WEIGHTS):
        path = folder / name
        if not path.exists():
            raise InputError(f"{where}: {name} is missing; name a folder that PEFT wrote")
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{where}: {name} is not a regular file; name a folder that PEFT wrote")
    if (folder / CONFIG).stat().st_size > LARGEST_CONFIG:
        raise InputError(
            f"{where}: {CONFIG} is larger than {LARGEST_CONFIG:,} bytes; name a folder that PEFT wrote"
        )
    try:
        config = TypeAdapter(AdapterConfig).validate_python(json_value((folder / CONFIG).read_bytes()))
    except (NotJson, OSError) as error:
        raise InputError(f"{where}: {CONFIG} is not valid JSON ({error}); save the adapter again") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part)[:40] for part in first["loc"])
        problem = first["msg"][0].lower() + first["msg"][1:160]
        raise InputError(
            f"{where}: {CONFIG}: {f'{field}: ' if field else ''}{problem}; save the adapter again"
        ) from None
    _check_bounds(f"{where}: {CONFIG}", config)
    _check_ranks(where, config, folder / WEIGHTS)
    return config


def _check_bounds(where: str, config: AdapterConfig) -> None:
    """Check the PEFT type, ranks, scale and patterns of a config."""
    kind = config.get("peft_type")
    if kind not in TYPES:
        raise InputError(f"{where}: peft_type: must be one of {', '.join(TYPES)}; got {str(kind)[:40]!r}")
    if config.get(RUN_BY_PEFT):
        raise InputError(
            f"{where}: {RUN_BY_PEFT}: this setting makes PEFT import a module, which is not allowed; remove "
            "it"
        )
    unbounded = next((text for text in _texts(config) if REPEATED.search(text)), None)
    if unbounded is not None:
        raise InputError(
            f"{where}: the pattern {unbounded[:100]!r} repeats a group, which can take unbounded time to "
            "match; list the module names instead"
        )
    for rank in (config.get("r", 8), *(config.get("rank_pattern") or {}).values()):
        if not 1 <= rank <= LARGEST_RANK:
            raise InputError(f"{where}: r: must be 1 to {LARGEST_RANK:,}; got {rank}")
    if not math.isfinite(config.get("lora_alpha", 8)):
        raise InputError(f"{where}: lora_alpha: must be a finite number; save the adapter again")


def _check_ranks(where: str, config: AdapterConfig, file: Path) -> None:
    """Check that no rank in the config exceeds those in the file, because PEFT allocates the named ranks."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as weights:
            names = weights.keys()
            ranks = [
                weights.get_slice(name).get_shape()[0]
                for name in names
                if re.search(r"\.lora_(embedding_)?A\b", name)
            ]
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{where}: {WEIGHTS} cannot be read ({first_line(error)}); it is damaged or truncated, save the "
            "adapter again"
        ) from None
    most, named = (
        max(ranks, default=0),
        max(config.get("r", 8), *(config.get("rank_pattern") or {}).values(), 0),
    )
    if named > most:
        raise InputError(
            f"{where} does not fit the model ({CONFIG} has rank {named}, {WEIGHTS} has ranks up to {most}); "
            "use both files of the same adapter"
        )


def _texts(value: Any) -> Iterator[str]:
    """Yield all strings in a JSON value, including its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(inner)


def check_finite(adapter: str, tensors: dict[str, Any]) -> None:
    """Raise InputError if a weight is not finite."""
    bad = next(
        (name for name, own in tensors.items() if own.is_floating_point() and not bool(own.isfinite().all())),
        None,
    )
    if bad:
        raise InputError(
            f"adapter '{adapter}': the weight '{bad[:80]}' is not finite; the file is damaged, train the "
            "adapter again"
        )
