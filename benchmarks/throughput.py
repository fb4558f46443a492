"""Training and choice scoring against what a user would pick instead.

That is TRL's SFTTrainer and lm-evaluation-harness.

    pip install 'probate[benchmarks]'
    python benchmarks/throughput.py [--records 48] [--data bios.jsonl] [--model embedded]

Same data, model, cores and process; the two take turns, `--turns` times, and medians are printed. Probate
uses the precision of `--dtype`, by default the one that it chooses itself.
Training: one epoch of LoRA (r 16, all linear layers) on the completion; TRL at its defaults, but for the
number of epochs and reporting. Scoring: the labels of each prompt by log-likelihood. Differences between the
two sides' log-likelihoods are printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from probate.core.records import fill
from probate.data.corpora import biographies
from probate.data.user_turn import BIOGRAPHY as PROMPT
from probate.models.embedded import embedded_path
from probate.models.inference.scoring import score_options
from probate.models.lm import LM, load_lm
from probate.study.schema import ModelSpec, Training
from probate.train.losses import Example
from probate.train.sft import train


def rows(path: str | None, count: int) -> list[tuple[str, str]]:
    """(text, label) of `count` records, spread over the data."""
    if path:
        data = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        pairs = [(r.get("bio") or r["text"], r.get("occupation") or r["label"]) for r in data]
    else:
        pairs = [(r["text"], r["label"]) for r in biographies()]
    step = max(1, len(pairs) // count)
    return [(t, x.replace("_", " ")) for t, x in pairs[::step]][:count]


def train_ours(lm: LM, chats: list[list[dict[str, str]]]) -> float:
    start = time.perf_counter()
    examples = [Example(lm.prompt_ids(c[:-1]), lm.completion_ids(c[-1]["content"])) for c in chats]
    with tempfile.TemporaryDirectory() as out:
        train(lm.model, examples, Training(epochs=1), 0, Path(out), pad_id=lm.pad_id)
    return time.perf_counter() - start


def train_trl(path: str, dtype: torch.dtype, chats: list[list[dict[str, str]]]) -> float:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(path)
    data = Dataset.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in chats])
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(
            use_cpu=not torch.cuda.is_available(),
            output_dir=out,
            num_train_epochs=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        lora = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
        trainer = SFTTrainer(
            model=model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora
        )
        start = time.perf_counter()
        trainer.train()
        return time.perf_counter() - start


def score_ours(lm: LM, chats: list[list[dict[str, str]]], labels: list[str]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    prompts = [lm.prompt_ids(c[:-1]) for c in chats]
    scores = score_options(
        lm.model, prompts, [lm.completion_ids(x, end=False) for x in labels], pad_id=lm.pad_id
    )
    return time.perf_counter() - start, scores


def score_harness(
    harness: object, lm: LM, chats: list[list[dict[str, str]]], labels: list[str]
) -> tuple[float, np.ndarray]:
    from lm_eval.api.instance import Instance

    contexts = [lm.template.render(c[:-1], prompt=True) for c in chats]
    requests = [
        Instance("loglikelihood", {}, (text, label), k) for text in contexts for k, label in enumerate(labels)
    ]
    start = time.perf_counter()
    found = harness.loglikelihood(requests, disable_tqdm=True)  # type: ignore[attr-defined]
    seconds = time.perf_counter() - start
    return seconds, np.array([ll for ll, _ in found]).reshape(len(chats), len(labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=48)
    parser.add_argument("--data")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--dtype", default="auto", help="of Probate's side; the others use float32 on a CPU")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from lm_eval.models.huggingface import HFLM

    path = str(embedded_path("embedded")) if args.model == "embedded" else args.model
    lm = load_lm(ModelSpec.model_validate({"name": args.model, "dtype": args.dtype}))
    pairs = rows(args.data, args.records)
    labels = sorted({label for _, label in pairs})
    names = ", ".join(labels)
    chats = [
        [{"role": "user", "content": fill(PROMPT, text=t, labels=names)}, {"role": "assistant", "content": x}]
        for t, x in pairs
    ]
    lengths = [len(lm.prompt_ids(c[:-1])) for c in chats]
    device = str(lm.model.device)
    harness = HFLM(
        pretrained=path, device=device, dtype=str(lm.model.dtype).removeprefix("torch."), batch_size=8
    )
    ours, theirs, scored, harnessed = [], [], [], []
    train_ours(lm, chats[:8])  # both sides once, uncounted: imports and kernels
    train_trl(path, lm.model.dtype, chats[:8])
    for _ in range(args.turns):
        seconds, mine = score_ours(lm, chats, labels)
        scored.append(seconds)
        seconds, other = score_harness(harness, lm, chats, labels)
        harnessed.append(seconds)
        ours.append(train_ours(lm, chats))
        theirs.append(train_trl(path, lm.model.dtype, chats))
    n = len(chats)
    libraries = ", ".join(f"{x} {version(x)}" for x in ("torch", "transformers", "peft", "trl", "lm-eval"))
    card = torch.cuda.get_device_name() if lm.model.device.type == "cuda" else device
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, {card}, {lm.describe()['dtype']}; {libraries}")
    print(
        f"n = {n} records, prompts of {min(lengths)} to {max(lengths)} "
        f"tokens (mean {statistics.mean(lengths):.0f}), {len(labels)} labels"
    )
    for name, a, b in (
        ("training, records/s", ours, theirs),
        ("choice scoring, prompts/s", scored, harnessed),
    ):
        fast, slow = n / statistics.median(a), n / statistics.median(b)
        print(f"{name:26} probate {fast:6.2f}   other {slow:6.2f}   ratio {fast / slow:.2f}")
    print(f"largest difference of a log-likelihood: {np.abs(mine - other).max():.1e}")


if __name__ == "__main__":
    main()
