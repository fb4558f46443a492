"""Generation on ragged lengths, against transformers' own `generate`.

    python benchmarks/generation.py [--prompts 48] [--data bios.jsonl] [--model embedded] [--tokens 96]

Prompts of different lengths are continued greedily until the end of turn or `--tokens` tokens. transformers runs
them in the order of the data, `--rows` at a time, padded on the left, as its documentation shows, in float32 and
in bfloat16. Probate runs them in the precision that it chooses. Both take turns, `--turns` times; the medians of
new tokens per second are printed, and the share of answers that are equal token by token.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from importlib.metadata import version

import torch
from throughput import rows
from transformers import AutoModelForCausalLM, GenerationConfig

from probate.models.inference.batching import pad_left
from probate.models.inference.generation import generate
from probate.models.lm import load_lm
from probate.study.schema import ModelSpec


def plainly(model, prompts, stops, pad_id, tokens, count):
    """Return answers by transformers' `generate`."""
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=tokens, eos_token_id=list(stops), pad_token_id=pad_id
    )
    answers = []
    for start in range(0, len(prompts), count):
        ids, mask = pad_left(prompts[start : start + count], pad_id, "cpu")
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=mask, generation_config=settings)[:, ids.shape[1] :]
        for row in out.tolist():
            end = next((i for i, t in enumerate(row) if t in stops), len(row))
            answers.append(row[:end])
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--data")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    lm = load_lm(ModelSpec(name=args.model))
    path = lm.model.config._name_or_path
    asked = "Write one short sentence about the work of this person.\n\n{}"
    prompts = [
        lm.prompt_ids([{"role": "user", "content": asked.format(t)}])
        for t, _ in rows(args.data, args.prompts)
    ]
    stops = tuple(lm.stop_ids)
    others = {
        str(dtype).removeprefix("torch."): AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }
    ways = {
        f"probate ({lm.describe()['dtype']})": lambda: generate(
            lm.model, prompts, range(len(prompts)), stop_ids=stops, pad_id=lm.pad_id,
            max_new_tokens=args.tokens, temperature=0, max_rows=args.rows,
        ),
        **{
            f"transformers ({name})": lambda model=model: plainly(model, prompts, stops, lm.pad_id, args.tokens, args.rows)
            for name, model in others.items()
        },
    }  # fmt: skip
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    answers = {name: way() for name, way in ways.items()}  # also what is slow once
    for _ in range(args.turns):
        for name, way in ways.items():
            start = time.perf_counter()
            made = way()
            speeds[name].append(sum(map(len, made)) / (time.perf_counter() - start))
    lengths = sorted(map(len, prompts))
    print(
        f"{len(prompts)} prompts of {lengths[0]} to {lengths[-1]} tokens, {platform.machine()}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, transformers {version('transformers')}"
    )
    plain = answers["transformers (float32)"]
    for name, own in speeds.items():
        same = sum(a == b for a, b in zip(answers[name], plain, strict=True))
        made = sorted(map(len, answers[name]))
        print(
            f"{name:28} {statistics.median(own):7.1f} new tokens/s; answers of {made[0]} to {made[-1]} tokens; "
            f"{same} of {len(plain)} equal to transformers in float32"
        )


if __name__ == "__main__":
    main()
