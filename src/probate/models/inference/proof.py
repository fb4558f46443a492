"""Comparison of each shortcut through a model with the model's plain pass, before the shortcut is used.

The plain pass is what `transformers` computes for one row of token ids: no padding, no cache, no custom mask
or positions. A shortcut (shared prefix, option tree, shared trunk, padding, batched generation, lean training
step) is compared with it once per model and range of lengths, on random texts as long as the longest of the
range. The result also covers shorter texts, unless a window or limit of the model lies in between. The
shortcut is used if both agree up to rounding. Otherwise the slower plain way is used, and the report says so.
No list of architectures is needed.

Findings are kept in memory with the model, and on disk by the model's fingerprint, in the folder that
PROBATE_PROOFS names, else in `proofs` of the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import transformers

from probate.core.errors import StageError
from probate.core.files import write_atomic
from probate.models.embedded import proof_dir
from probate.models.inference.shortcut_check import ShortcutCheck

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest root mean square difference from the plain pass that counts as rounding, as a share of the standard
deviation of the compared values. Models of 135 million parameters differ by 1e-6 to 2e-5."""
ROUNDINGS = 3.0
"""The same limit for bfloat16 and float16, in multiples of the rounding error of this model's plain pass
(`rounding`), which ranges from 0.003 to 0.1 of the spread between models."""
SHORTEST = 64
"""Upper end of the first range of lengths in tokens. The next ends are 96, 128, 192, 256 and so on."""
TAIL = 4
"""Number of last tokens of a text that play the role of options, completion or answer."""
LIMITS = (
    "max_position_embeddings",
    "original_max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
)
OUT_OF_MEMORY = "memory ran out"
"""Reason of a finding that another attempt may reverse; it is not kept on disk."""
WINDOWS = ("sliding_window", "window_size", "attention_window_size", "attention_chunk_size")


@dataclass
class _Kept:
    """Findings and plain logits of one loaded model."""

    fingerprint: str
    findings: dict[tuple[str, int, str], ShortcutCheck] = field(default_factory=dict)
    tails: dict[tuple[int, ...], torch.Tensor] = field(default_factory=dict)


def holds(
    model: Any,
    shortcut: str,
    longest: int,
    measure: Callable[[int], float],
    detail: str = "",
    limit: Callable[[int], float] | None = None,
) -> bool:
    """Check that a shortcut gives the same results as the plain pass, for texts of up to `longest` tokens.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        A causal LM or encoder of transformers, or a PEFT model around one.
    shortcut : str
        Name of the shortcut, as the report shows it.
    longest : int
        Length in tokens of the longest text in use.
    measure : callable
        Takes a length in tokens and returns the difference between both ways on texts of that length, as a
        share of the spread (`relative_difference`).
    detail : str, default=""
        What else the finding depends on, such as the layers that are trained.
    limit : callable, optional
        Takes a length and returns the largest difference that counts as rounding. Default: that of the
        model's precision.

    Returns
    -------
    bool
        True if the difference is due to rounding only.

    Raises
    ------
    StageError
        The plain pass itself fails, or its output is not finite.
    """
    kept = _kept(model)
    edge = _edge(model, longest)
    key = (shortcut, edge, detail)
    ends = _ends(model, longest)
    for (name, _, about), known in kept.findings.items():
        if (
            (name, about) == (shortcut, detail)
            and known.holds
            and longest <= known.longest <= min(ends, default=known.longest)
        ):
            return True  # on longer texts, and no limit of the model lies between
    if key not in kept.findings or kept.findings[key].longest < longest:
        path = _path(model, kept.fingerprint, key)
        finding = _read(path, shortcut)
        if finding is None or finding.longest < longest:
            finding = _compared(model, shortcut, edge, longest, measure, limit or partial(_limit, model))
            if finding.difference is not None or finding.reason != OUT_OF_MEMORY:
                _write(path, finding)
        kept.findings[key] = finding
    return kept.findings[key].holds


def forget(model: Any) -> None:
    """Drop what is known of a model whose precision was changed, but keep its findings for the report."""
    base = base_of(model)
    known: _Kept | None = base.__dict__.pop("_probate_proofs", None)
    if known is not None:
        _kept(base).findings.update(known.findings)


def findings(model: Any) -> list[ShortcutCheck]:
    """Return the findings for `model` so far (`probate.models.inference.finding.sentences`)."""
    return list(_kept(model).findings.values())


def random_rows(model: Any, length: int, pad_id: int = -1) -> tuple[list[int], list[int], list[int]]:
    """Draw three rows of random token ids without special tokens.

    The first has `length` tokens, the other two are short. The second begins like the first, up to its last
    `TAIL` tokens. The third has another first token. In a model with an attention window, the short rows end
    where the window is first full.
    """
    vocabulary = _vocabulary(model, pad_id)
    windows = [w for w in _numbers(model, WINDOWS) if 3 * TAIL < w - 2 < length - 2 * TAIL]
    short = max(windows) - 2 if windows else max(length // 6, 4 * TAIL)
    if short >= length - TAIL:
        raise ValueError(f"texts of {length} tokens are too short to compare")
    draw = torch.Generator().manual_seed(length)
    picked = torch.randint(len(vocabulary), (length + 2 * short + 2,), generator=draw).tolist()
    ids = [vocabulary[i] for i in picked]
    first = ids[:length]
    second = first[: short - TAIL] + ids[length : length + TAIL]
    third = ids[length + short : length + 2 * short + 2]
    for row, at in ((second, short - TAIL), (third, 0)):
        if row[at] == first[at]:
            row[at] = next(v for v in vocabulary if v != first[at])
    return first, second, third


def plain_logits(model: Any, row: Sequence[int]) -> torch.Tensor:
    """Return plain logits at the last `TAIL` + 1 tokens of `row`, float32 of shape (TAIL + 1, vocabulary)."""
    kept = _kept(model)
    key, bare = tuple(row), base_of(model) is model
    if bare and key in kept.tails:
        return kept.tails[key]
    with torch.inference_mode(False), torch.no_grad(), peft_forward(model):
        logits = plain_pass(model, row).logits[0, -TAIL - 1 :].float()
    if bare:
        kept.tails[key] = logits
    return logits


def plain_pass(model: Any, row: Sequence[int], **asked: Any) -> Any:
    """Run the model's own forward pass over one row of token ids.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        The model.
    row : sequence of int
        Token ids.
    **asked
        Further arguments of the model's `forward`.

    Returns
    -------
    ModelOutput
        The model's output for a batch of one row.

    Raises
    ------
    StageError
        The pass fails, or its logits are not finite.
    """
    device = next(model.parameters()).device
    try:
        out = model(
            input_ids=torch.tensor([list(row)], dtype=torch.long, device=device), use_cache=False, **asked
        )
    except torch.OutOfMemoryError:
        raise StageError(
            f"{_name(model)}: not enough memory for a text of {len(row)} tokens; shorten the texts"
        ) from None
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError) as error:
        raise StageError(
            f"{_name(model)}: its plain pass over {len(row)} tokens fails ({_line(error)})"
        ) from None
    if "logits" in out and not torch.isfinite(out.logits).all():
        raise StageError(
            f"{_name(model)}: its plain pass over {len(row)} tokens gives values that are not finite, so "
            "the model cannot be measured; use another model or model.dtype"
        )
    return out


def relative_difference(
    actual: torch.Tensor, plain: torch.Tensor, spread: torch.Tensor | None = None
) -> float:
    """Return the root mean square difference of two tensors as a share of the spread.

    Parameters
    ----------
    actual, plain : Tensor
        The values of a shortcut and of the plain pass, of one shape.
    spread : Tensor, optional
        Values whose standard deviation is the unit; default `plain`.

    Returns
    -------
    float
        The difference, at least 0; infinite if `actual` is not finite.
    """
    actual, plain = actual.detach().float().cpu(), plain.detach().float().cpu()
    difference = float(
        (actual - plain).square().mean().sqrt()
        / (plain if spread is None else spread).std().cpu().clamp(min=1e-12)
    )
    return difference if difference == difference else float("inf")


def base_of(model: Any) -> Any:
    """Return the model of transformers inside a PEFT model; return any other model unchanged."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class Lean(partial):
    """A forward pass that replaces PEFT's in one layer (`probate.models.lora`)."""


@contextmanager
def peft_forward(model: Any) -> Iterator[None]:
    """Run PEFT's own forward in all layers, inside the block."""
    lean = [m for m in model.modules() if isinstance(m.__dict__.get("forward"), Lean)]
    forwards = [m.__dict__.pop("forward") for m in lean]
    try:
        yield
    finally:
        for module, forward in zip(lean, forwards, strict=True):
            module.forward = forward


@contextmanager
def without_noise(model: Any) -> Iterator[None]:
    """Disable dropout and noise in any mode, and preserve the state of the global random generator."""
    changed = []
    for module in model.modules():
        for name, value in list(vars(module).items()):
            noisy = (
                "drop" in name or "jitter" in name or (name == "p" and isinstance(module, torch.nn.Dropout))
            )
            if noisy and isinstance(value, float) and value:
                changed.append((module, name, value))
                setattr(module, name, 0.0)
    with torch.random.fork_rng():
        try:
            yield
        finally:
            for module, name, value in changed:
                setattr(module, name, value)


def _compared(
    model: Any,
    shortcut: str,
    edge: int,
    longest: int,
    measure: Callable[[int], float],
    limit: Callable[[int], float],
) -> ShortcutCheck:
    """Compare a shortcut with the plain pass and return the finding."""
    difference, reason = None, ""
    with without_noise(model):
        try:
            try:
                difference = measure(edge)
            except StageError:
                if edge == longest:
                    raise
                difference, edge = measure(longest), longest  # the range ends beyond the model's context
        except torch.OutOfMemoryError:
            reason = OUT_OF_MEMORY
        except StageError:
            raise
        except Exception as error:  # a model may raise anything for unknown arguments
            reason = f"it fails: {_line(error)}"
        if difference is not None and not difference < float("inf"):
            difference, reason = None, "its output is not finite"
        fits = difference is not None and difference <= limit(edge)
    return ShortcutCheck(shortcut, edge, fits, difference, reason)


def _limit(model: Any, length: int) -> float:
    """Return the largest difference that counts as rounding."""
    exact = exact_limit(model)
    return exact if exact is not None else ROUNDINGS * rounding(model, length)


def exact_limit(model: Any) -> float | None:
    """Return the limit of a model in float32 or float64; None if it is relative to the model's rounding."""
    return TOLERANCE.get(max((p.dtype for p in base_of(model).parameters()), key=_eps))


def _eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def rounding(model: Any, length: int, dtype: torch.dtype | None = None) -> float:
    """Return the relative change of the plain logits if each matrix product is rounded randomly.

    Products are rounded to `dtype`, by default to that of their weights.
    """
    row, _, _ = random_rows(model, length)
    with rounded_products(model, dtype), torch.no_grad():
        moved = plain_pass(model, row).logits[0, -TAIL - 1 :].float()
    return relative_difference(moved, plain_logits(model, row))


@contextmanager
def rounded_products(model: Any, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Round each matrix product of the plain pass, and of its gradient, randomly inside the block."""
    draw = torch.Generator().manual_seed(0)

    def perturbed(module: Any, _: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return output
        noise = torch.rand(output.shape, generator=draw).to(output.device) - 0.5
        eps = _eps(dtype or next(module.parameters(False)).dtype)
        return (output.float() * (1 + eps * noise)).to(output.dtype)

    hooks = [
        m.register_forward_hook(perturbed)
        for m in model.modules()
        if not list(m.children()) and list(m.parameters(False))
    ]
    try:
        with peft_forward(model):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _kept(model: Any) -> _Kept:
    base = base_of(model)
    if "_probate_proofs" not in base.__dict__:
        base.__dict__["_probate_proofs"] = _Kept(_fingerprint(base))
    kept: _Kept = base.__dict__["_probate_proofs"]
    return kept


def _fingerprint(base: Any) -> str:
    """Hash the config and, of each weight but an adapter's, the name, shape, dtype and 61 values."""
    config = {
        k: v for k, v in base.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")
    }
    hashed = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    hashed.update(f"{type(base).__name__} {getattr(base.config, '_attn_implementation', None)}".encode())
    for name, weight in base.state_dict().items():
        if "lora_" in name:
            continue
        hashed.update(f"{name.replace('.base_layer', '')} {tuple(weight.shape)} {weight.dtype}".encode())
        if weight.numel() and weight.device.type != "meta":
            step = max(1, weight.numel() // 61)
            hashed.update(weight.detach().reshape(-1)[::step].float().cpu().numpy().tobytes())
    return hashed.hexdigest()


@cache
def code_key() -> str:
    """Hash the code of the shortcuts: a changed version is compared again."""
    here = Path(__file__).parent
    own = [here.parent / f"{name}.py" for name in ("adapter", "embedder", "lora")]
    files = [
        *here.glob("*.py"), *(here.parents[1] / "train").glob("*.py"), *here.parent.glob("mixed*.py"), *own
    ]  # fmt: skip
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def _path(model: Any, fingerprint: str, key: tuple[str, int, str]) -> Path:
    weight = next(model.parameters())
    whole = [
        fingerprint,
        *key,
        str(weight.dtype),
        weight.device.type,
        torch.__version__,
        transformers.__version__,
        code_key(),
    ]
    return proof_dir() / f"{hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:32]}.json"


def _read(path: Path, shortcut: str) -> ShortcutCheck | None:
    try:
        finding = ShortcutCheck(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return finding if finding.shortcut == shortcut else None


def _write(path: Path, finding: ShortcutCheck) -> None:
    with suppress(OSError):  # an unwritable cache only costs time
        write_atomic(path, json.dumps(asdict(finding)))


def _edge(model: Any, longest: int) -> int:
    """Return the end of the range that contains `longest`; limits and windows of the model end ranges too."""
    size = SHORTEST
    while size < longest:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return min([size, *_ends(model, longest)])


def _ends(model: Any, longest: int) -> list[int]:
    """Return the lengths from `longest` on at which the model's own limits and windows end a range."""
    limits = [limit for limit in _numbers(model, LIMITS) if limit >= longest]
    return limits + [window - 1 for window in _numbers(model, WINDOWS) if window > max(longest, 6 * TAIL)]


def _numbers(model: Any, names: Sequence[str]) -> list[int]:
    config = base_of(model).config.get_text_config(decoder=True)
    values = [getattr(config, name, None) for name in names]
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0]


def _vocabulary(model: Any, pad_id: int) -> list[int]:
    base = base_of(model)
    special = {pad_id}
    for config in (base.config, base.config.get_text_config(decoder=True)):
        for name, value in config.to_dict().items():
            if name.endswith(("_token_id", "_token_ids", "_token_index")):
                special.update(value if isinstance(value, list) else [value])
    size = min(
        base.get_input_embeddings().num_embeddings, base.config.get_text_config(decoder=True).vocab_size
    )
    return [i for i in range(size) if i not in special]


def _name(model: Any) -> str:
    base = base_of(model)
    return f"model '{base.config._name_or_path or type(base).__name__}'"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
