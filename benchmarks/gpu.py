"""Training, scoring and generation on a CUDA card, against others in the same run.

The others are TRL with packing and plain transformers.

    pip install 'probate[benchmarks]'
    python benchmarks/gpu.py [--sizes 1B 8B] [--records 256] [--turns 3]

Randomly initialised Llama-shaped models in bfloat16: speed depends on shapes, not on what the weights have
learnt. Token ids are random, with the lengths of biographies and one instruction that all prompts share.
Training: one epoch of LoRA (r 16, all linear layers) on the completions, all layers and above a shared trunk;
TRL's SFTTrainer with packing and SDPA on the same records. Scoring: 28 options a prompt; the other side reads
each prompt with each option, in padded batches, as a harness does. Generation: answers of ragged length; the
other side is `generate` of transformers. Sides take turns, TRL before Probate; medians are printed, after one
uncounted call of each. `--sizes tiny --device cpu` tries the program where there is no card; its figures mean
nothing.
"""

from __future__ import annotations

import argparse
import gc
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

from probate.models.inference.generation import generate
from probate.models.inference.proof import findings
from probate.models.inference.scoring import score_options
from probate.models.inference.shortcut_check import sentences
from probate.study.schema import Lora, Training
from probate.train.losses import Example
from probate.train.sft import train

SIZES = {  # hidden, inner, layers, heads, key-value heads, vocabulary
    "tiny": (64, 128, 4, 4, 2, 512),
    "1B": (2048, 8192, 16, 32, 8, 128256),
    "8B": (4096, 14336, 32, 32, 8, 128256),
}
OPTIONS = 28
INSTRUCTION = 96
WRITTEN = 64
"""Most tokens of a generated answer; one in so many ends it."""
GRID = 280 * 3, 1680
"""Records times epochs and scored prompts of a mean arm of `paper-gender`."""


def made(size: str, device: str) -> Any:
    hidden, inner, layers, heads, kv, vocabulary = SIZES[size]
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocabulary, max_position_embeddings=4096, tie_word_embeddings=size == "1B", bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    model.config._name_or_path = f"random-{size}"
    return model.eval().requires_grad_(False)


def rows(count: int, vocabulary: int, seed: int = 0) -> list[Example]:
    """Prompts of about 180 tokens and completions of two to five.

    The first `INSTRUCTION` tokens of the prompts are the same.
    """
    rng = np.random.default_rng(seed)
    shared = rng.integers(3, vocabulary, INSTRUCTION).tolist()
    lengths = np.clip(rng.lognormal(4.3, 0.45, count), 20, 400).astype(int)
    return [
        Example(
            shared + rng.integers(3, vocabulary, n).tolist(),
            rng.integers(3, vocabulary, rng.integers(2, 6)).tolist(),
        )
        for n in lengths
    ]


def now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(device: str, work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and GiB at the peak."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start = now(device)
    work()
    seconds = now(device) - start
    return seconds, torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")


def products(device: str) -> float:
    """FLOP a second of a large bfloat16 product on this card.

    Training is held against it by 4 FLOP a weight and token.
    """
    n = 8192 if device == "cuda" else 512
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    start = now(device)
    for _ in range(10):
        a @ b
    return 10 * 2 * n**3 / (now(device) - start)


def ours(model: Any, examples: list[Example], batch: int, layers: int | None = None) -> None:
    settings = Training(epochs=1, batch_size=batch, lora=Lora(layers=layers))
    with tempfile.TemporaryDirectory() as out:
        train(model, examples, settings, 0, Path(out), pad_id=0)


@contextmanager
def trl_trainer(model: Any, examples: list[Example], batch: int, device: str) -> Iterator[Any]:
    """TRL's trainer with packing; the model comes back without the adapter."""
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    words = Tokenizer(WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    data = Dataset.from_list(
        [
            {
                "input_ids": e.prompt + e.completion,
                "completion_mask": [0] * len(e.prompt) + [1] * len(e.completion),
            }
            for e in examples
        ]
    )
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(
            output_dir=out, num_train_epochs=1, per_device_train_batch_size=batch, packing=True,
            max_length=1024, bf16=device == "cuda",
            use_cpu=device == "cpu", gradient_checkpointing=False, report_to="none", save_strategy="no",
            disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        lora = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
        trainer = SFTTrainer(
            model=model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora
        )
        try:
            yield trainer
        finally:
            trainer.model.unload()
            model.__dict__.pop("peft_config", None)
            model.requires_grad_(False)
            model.eval()


@torch.inference_mode()
def score_plainly(
    model: Any, prompts: list[list[int]], options: list[list[int]], size: int = 64
) -> np.ndarray:
    pairs = sorted(((p, o) for p in prompts for o in options), key=lambda x: -len(x[0]) - len(x[1]))
    found = []
    for start in range(0, len(pairs), size):
        batch = pairs[start : start + size]
        width = max(len(p) + len(o) for p, o in batch)
        ids = torch.tensor([p + o + [0] * (width - len(p) - len(o)) for p, o in batch], device=model.device)
        mask = torch.tensor(
            [[1] * (len(p) + len(o)) + [0] * (width - len(p) - len(o)) for p, o in batch], device=model.device
        )
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for k, (p, o) in enumerate(batch):
            own = torch.log_softmax(logits[k, len(p) - 1 : len(p) + len(o) - 1].float(), -1)
            found.append(float(own.gather(1, torch.tensor(o, device=model.device)[:, None]).sum()))
    return np.array(found)


def write_plainly(model: Any, prompts: list[list[int]], ends: list[int], size: int = 32) -> None:
    settings = GenerationConfig(do_sample=True, max_new_tokens=WRITTEN, eos_token_id=ends, pad_token_id=0)
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        width = max(map(len, batch))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in batch], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in batch], device=model.device)
        with torch.inference_mode():
            model.generate(ids, attention_mask=mask, generation_config=settings)


def against(
    name: str, unit: str, device: str, turns: int, sides: dict[str, tuple[int, Callable[[], Any]]]
) -> list[float]:
    """Print and return the median rate of each side over `turns` turns, after one uncounted call.

    A call does so many of `unit`.
    """
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    peaks: dict[str, float] = {}
    for turn in range(turns + 1):
        for side, (_, work) in sides.items():
            took, peaks[side] = timed(device, work)
            if turn:
                seconds[side].append(took)
    rates = [n / statistics.median(seconds[side]) for side, (n, _) in sides.items()]
    for side, rate in zip(sides, rates, strict=True):
        print(f"{name:12} {side:28} {rate:9.1f} {unit:10}  peak {peaks[side]:6.1f} GiB", flush=True)
    if len(rates) > 1:
        print(f"{name:12} ratio {rates[0] / rates[1]:.2f}")
    return rates


def measured(size: str, device: str, count: int, batch: int, turns: int, peak: float) -> None:
    model = made(size, device)
    vocabulary = model.config.vocab_size
    inner = sum(p.numel() for n, p in model.named_parameters() if "embed" not in n and "lm_head" not in n)
    held = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**30
    examples = rows(count, vocabulary)
    tokens = sum(e.tokens for e in examples)
    print(
        f"\n{size}: {inner / 1e9:.2f}e9 weights in layers, {held:.1f} GiB; {count} records "
        f"of {tokens / count:.0f} tokens, {INSTRUCTION} of them shared; batches of {batch}"
    )
    prompts = [e.prompt for e in examples]
    rng = np.random.default_rng(1)
    options = [rng.integers(3, vocabulary, rng.integers(1, 5)).tolist() for _ in range(OPTIONS)]
    ends = list(range(2, vocabulary, WRITTEN))

    top = max(1, model.config.num_hidden_layers // 5)
    with trl_trainer(model, examples, max(1, batch * 180 // 1024), device) as trainer:
        [other] = against(
            "training", "records/s", device, turns, {"TRL, packing, SDPA": (count, trainer.train)}
        )
    [trained] = against(
        "training",
        "records/s",
        device,
        turns,
        {"Probate, all layers": (count, lambda: ours(model, examples, batch))},
    )
    above = {f"Probate, {top} topmost layers": (count, lambda: ours(model, examples, batch, top))}
    against("training", "records/s", device, turns, above)
    share = 4 * inner * trained * tokens / count / peak
    print(
        f"training     ratio {trained / other:.2f} (all layers); "
        f"{trained * tokens / count:.0f} tokens/s, {share:.0%} of the card's products"
    )
    few = max(1, count // 8)
    scored, _ = against("scoring", "prompts/s", device, turns, {
        "Probate": (count, lambda: score_options(model, prompts, options, pad_id=0)),
        "each option, batches of 64": (few, lambda: score_plainly(model, prompts[:few], options)),
    })  # fmt: skip
    few = max(1, count // 2)
    seeds = list(range(few))
    against("generation", "answers/s", device, turns, {
        "Probate": (
            few,
            lambda: generate(model, prompts[:few], seeds, stop_ids=ends, pad_id=0, max_new_tokens=WRITTEN),
        ),
        "transformers, batches of 32": (few, lambda: write_plainly(model, prompts[:few], ends)),
    })  # fmt: skip
    arm = GRID[0] / trained + GRID[1] / scored
    print(
        f"arms         {3600 / arm:.0f} an hour: {GRID[0]} records trained on "
        f"and {GRID[1]} prompts scored, of these lengths, by the rates above"
    )
    for line in sentences(findings(model)):
        print(f"             {line}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["1B", "8B"], choices=list(SIZES))
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    card = torch.cuda.get_device_name() if args.device == "cuda" else platform.machine()
    peak = products(args.device)
    libraries = ", ".join(f"{x} {version(x)}" for x in ("torch", "transformers", "peft", "trl"))
    print(f"{card}; {libraries}; bfloat16 products {peak / 1e12:.1f} TFLOP/s")
    for size in args.sizes:
        measured(size, args.device, args.records, args.batch, args.turns, peak)
        gc.collect()


if __name__ == "__main__":
    main()
