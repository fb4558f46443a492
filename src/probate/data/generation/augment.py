"""Generate until the wanted number of accepted records stands, or the budget is spent."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from probate.core.cache import digest
from probate.core.errors import StageError
from probate.core.files import appending, write_atomic
from probate.core.records import Record, fill, write_records
from probate.data.generation.filters import REASONS, Filters, clean, redact
from probate.data.generation.prompts import Ask, asks
from probate.data.opinions import opinion_words
from probate.data.packs import Pack
from probate.models.thinking import without_thinking
from probate.study.schema import Generation

Tick = Callable[[int], None]


class Backend(Protocol):
    """A generator: answers prompts, and describes itself for the provenance of each record."""

    def describe(self) -> dict[str, Any]: ...

    def answer(
        self,
        batch: Sequence[Ask],
        generation: Generation,
        done: Callable[[list[tuple[Ask, str]]], None],
        have: set[str],
    ) -> None:
        """Answer every ask whose id is not in `have`; `done` is called with what stands, as soon as it stands."""
        ...


def augment(
    bias_type: str,
    wanted: int,
    *,
    pack: Pack,
    cross: Pack | None = None,
    groups: Sequence[str],
    labels: Sequence[str],
    generation: Generation,
    backend: Backend,
    folder: Path,
    statements: Sequence[str] = (),
    language: str = "en",
    instruction: str = "",
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Write `records.jsonl`, `rejects.jsonl` and `raw.jsonl` to `folder`; at least `wanted` records, balanced over cells.

    Raw answers are saved as they come: a call that finds some continues after them. `instruction` stands after each prompt.

    Returns:
        The yield: candidates, accepted, wanted, and rejects by reason.

    Raises:
        StageError: budget spent; says how many candidates, how many accepted and why the others were not.
    """
    pack = pack.only(groups)
    cells = [(label, group) for label in labels for group in groups]
    per_cell = -(-wanted // len(cells))
    most = max(per_cell, int(generation.budget * per_cell))
    raw_path = folder / "raw.jsonl"
    answers = _read_raw(raw_path)
    filters = Filters(pack, labels, generation, language)
    accepted: dict[tuple[str, str], list[Record]] = defaultdict(list)
    rejects: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    asked = thoughts = 0
    described = backend.describe()
    form = opinion_words(language)["record"] if statements else "{text}"
    step = max(1, per_cell)
    with appending(raw_path) as raw:
        number = counted = 0
        while number < most and any(len(accepted[c]) < per_cell for c in cells):
            count = min(step, most - number)
            batch = [
                replace(a, prompt=f"{a.prompt} {instruction}".strip())
                for a in asks(
                    bias_type,
                    pack,
                    cross,
                    groups,
                    labels,
                    number,
                    count,
                    generation.seed,
                    statements,
                    language,
                )
                if len(accepted[a.label, a.group]) < per_cell
            ]

            def save(pairs: list[tuple[Ask, str]]) -> None:
                answers.update((ask.id, text) for ask, text in pairs)
                raw.write("".join(_raw_line(a.id, t) for a, t in pairs))
                raw.flush()

            backend.answer(batch, generation, save, set(answers))
            for ask in batch:
                asked += 1
                answer, had = without_thinking(answers[ask.id])
                thoughts += had
                text, redacted = clean(answer), 0
                if not ask.statement:
                    text, redacted = redact(text, ask.label)
                reason = filters.check(ask, text)
                if reason is None:
                    accepted[ask.label, ask.group].append(
                        _record(
                            bias_type,
                            pack.dimension,
                            ask,
                            fill(form, statement=ask.statement, text=text),
                            redacted,
                            described,
                            generation,
                        )
                    )
                else:
                    reasons[reason] += 1
                    rejects.append(
                        {"id": ask.id, "reason": reason, "text": answers[ask.id], "prompt": ask.prompt}
                    )
            now = sum(map(len, accepted.values()))
            if tick:
                tick(now - counted)
            counted = now
            number += count
    report = {
        "bias_type": bias_type,
        "wanted": wanted,
        "candidates": asked,
        "accepted": sum(map(len, accepted.values())),
        "rejects": dict(reasons.most_common()),
        **({"thinking_taken_off": thoughts} if thoughts else {}),
        **({"notes": notes} if (notes := getattr(backend, "notes", [])) else {}),
    }
    write_rejects(folder / "rejects.jsonl", rejects)
    short = {c: len(accepted[c]) for c in cells if len(accepted[c]) < per_cell}
    if short:
        why = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
        worst = min(short, key=lambda c: short[c])
        raise StageError(
            f"generation of '{bias_type}': budget spent after {asked} candidates ({generation.budget:g} for each wanted record); "
            f"{report['accepted']} accepted, '{worst[0]}' {worst[1]} has {short[worst]} of {per_cell}; rejected: {why}. "
            "Raise generation.budget, or take a stronger generator"
        )
    write_records(folder / "records.jsonl", (r for c in cells for r in accepted[c]))
    return report


def write_rejects(path: Path, rejects: list[dict[str, Any]]) -> None:
    write_atomic(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rejects))


def _raw_line(name: str, text: str) -> str:
    """An answer as it is kept, with its hash."""
    return json.dumps({"id": name, "text": text, "check": digest(name, text)}, ensure_ascii=False) + "\n"


def _read_raw(path: Path) -> dict[str, str]:
    """Answers saved so far; a line that was cut off or changed is dropped, from the file too."""
    if not path.exists():
        return {}
    answers: dict[str, str] = {}
    whole = []
    lines = path.read_text(encoding="utf-8", errors="ignore").split("\n")
    for line in lines[:-1]:  # what follows the last line end was cut off
        try:
            row = json.loads(line)
            if line + "\n" != _raw_line(row["id"], row["text"]):
                continue
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        answers[row["id"]] = row["text"]
        whole.append(line + "\n")
    write_atomic(path, "".join(whole))
    return answers


def _record(
    bias_type: str,
    dimension: str,
    ask: Ask,
    text: str,
    redacted: int,
    described: dict[str, Any],
    generation: Generation,
) -> Record:
    return Record(
        id=f"g:{ask.id}",
        text=text,
        label=ask.label,
        groups={dimension: ask.group, **ask.attributes},
        origin="augmented",
        provenance={
            "bias_type": bias_type,
            "generator": described,
            "prompt": ask.prompt,
            "name": ask.name,
            **({"statement": ask.statement} if ask.statement else {}),
            "seed": ask.seed,
            "sampling": {
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "max_new_tokens": generation.max_new_tokens,
            },
            "filters_passed": list(REASONS),
            "redacted": redacted,
            "asked": {"label": ask.label, "group": ask.group},
        },
    )
