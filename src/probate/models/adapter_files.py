"""The files of a local adapter, checked before PEFT reads them: safetensors only, weights that are finite, sizes that its config allows."""

from __future__ import annotations

import math
import stat
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from probate.errors import InputError
from probate.parse import NotJson, json_value

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
LARGEST_CONFIG = 1024 * 1024
"""Bytes of a config, at most."""
LARGEST_RANK = 4096
TYPES = ("LORA",)
"""PEFT types whose weights can be merged into the model's own, as a start needs."""


class AdapterConfig(TypedDict, total=False):
    """What is believed of a config only after it was checked."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]
    peft_type: str
    r: int
    lora_alpha: int | float
    target_modules: list[str] | str | None
    rank_pattern: dict[str, int] | None
    base_model_name_or_path: str | None
    auto_mapping: dict[str, Any] | None


def read_config(adapter: str, folder: Path) -> AdapterConfig:
    """The config of the adapter in `folder`; `adapter` is its name for messages.

    Raises:
        InputError: a file that is missing or no regular file, no JSON, a field of the wrong type or beyond its bounds, weights as a pickle.
    """
    where = f"model.adapter '{adapter}'"
    if not (folder / WEIGHTS).exists() and (folder / PICKLED).exists():
        raise InputError(f"{where}: {PICKLED} is a pickle, which can run any code and is not read; save it as {WEIGHTS}")
    for name in (CONFIG, WEIGHTS):
        path = folder / name
        if not path.exists():
            raise InputError(f"{where}: there is no {name}; name a folder that PEFT wrote")
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{where}: {name} is no regular file; name a folder that PEFT wrote")
    if (folder / CONFIG).stat().st_size > LARGEST_CONFIG:
        raise InputError(f"{where}: {CONFIG} has more than {LARGEST_CONFIG:,} bytes; name a folder that PEFT wrote")
    try:
        config = TypeAdapter(AdapterConfig).validate_python(json_value((folder / CONFIG).read_bytes()))
    except (NotJson, OSError) as error:
        raise InputError(f"{where}: {CONFIG} is no JSON ({error}); save the adapter again") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part)[:40] for part in first["loc"])
        said = first["msg"][0].lower() + first["msg"][1:160]
        raise InputError(f"{where}: {CONFIG}: {f'{field}: ' if field else ''}{said}; save the adapter again") from None
    _check_bounds(f"{where}: {CONFIG}", config)
    return config


def _check_bounds(where: str, config: AdapterConfig) -> None:
    kind = config.get("peft_type")
    if kind not in TYPES:
        raise InputError(f"{where}: peft_type: must be one of {', '.join(TYPES)}; got {str(kind)[:40]!r}")
    if config.get("auto_mapping"):
        raise InputError(f"{where}: auto_mapping: names code to be imported, which is not done; take it out")
    for rank in (config.get("r", 8), *(config.get("rank_pattern") or {}).values()):
        if not 1 <= rank <= LARGEST_RANK:
            raise InputError(f"{where}: r: must be 1 to {LARGEST_RANK:,}; got {rank}")
    if not math.isfinite(config.get("lora_alpha", 8)):
        raise InputError(f"{where}: lora_alpha: must be a finite number; save the adapter again")


def check_finite(adapter: str, tensors: dict[str, Any]) -> None:
    """Raises InputError for weights that are not finite."""
    bad = next((name for name, own in tensors.items() if own.is_floating_point() and not bool(own.isfinite().all())), None)
    if bad:
        raise InputError(f"adapter '{adapter}': the weight '{bad[:80]}' is not finite; its file is damaged, train it again")
