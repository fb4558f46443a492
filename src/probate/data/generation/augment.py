"""Generation of augmented records until enough candidates are accepted or the budget is exhausted."""

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
from probate.core.records import Record, after, fill, write_records
from probate.data.generation.filters import REASONS, Filters, clean, redact
from probate.data.generation.prompts import Candidate, candidates
from probate.data.opinions import opinion_words
from probate.data.packs import Pack
from probate.models.thinking import without_thinking
from probate.study.schema import Generation

Tick = Callable[[int], None]


class Backend(Protocol):
    """Protocol of a generator."""

    def describe(self) -> dict[str, Any]:
        """Return a description of the generator for the provenance of each record."""
        ...

    def answer(
        self,
        batch: Sequence[Candidate],
        generation: Generation,
        done: Callable[[list[tuple[Candidate, str]]], None],
        have: set[str],
    ) -> None:
        """Answer every candidate whose id is not in `have`.

        Parameters
        ----------
        batch : sequence of Candidate
            Candidates with their prompts.
        generation : Generation
            Sampling settings of the study.
        done : callable
            Called with a list of (candidate, answer) as soon as answers are complete.
        have : set of str
            Ids of the candidates that already have an answer.
        """
        ...


def augment(
    bias_type: str,
    wanted: int,
    *,
    pack: Pack,
    cross: Pack | None = None,
    groups: Sequence[str],
    written: Sequence[str] = (),
    labels: Sequence[str],
    generation: Generation,
    backend: Backend,
    folder: Path,
    statements: Sequence[str] = (),
    language: str = "en",
    instruction: str = "",
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Generate augmented records of one bias type, balanced over the cells of label x group.

    Writes `records.jsonl`, `rejects.jsonl` and `raw.jsonl` to `folder`. Raw answers are saved as they arrive,
    so an interrupted call can be repeated and continues after the saved answers.

    Parameters
    ----------
    bias_type : str
        Bias type, or `neutral`.
    wanted : int
        Minimum number of accepted records.
    pack, cross : Pack
        Identity pack of the dimension, and the pack that intersectional bias types cross it with.
    groups, labels : sequence of str
        Groups and labels that form the cells.
    written : sequence of str
        The groups that are written about; the others are only compared with. Empty for all groups.
    generation : Generation
        Sampling settings, budget and limits of the filters.
    backend : Backend
        The generator.
    folder : Path
        Folder for the files.
    statements : sequence of str
        Statements for opinions; empty for biographies.
    language : str
        ISO 639-1 code.
    instruction : str
        Text that is added after each prompt.
    tick : callable, optional
        Called with the number of newly accepted records after each step.

    Returns
    -------
    dict
        The yield: number of candidates, accepted and wanted records, and of rejects by reason.

    Raises
    ------
    StageError
        If the budget is exhausted. The message gives the number of candidates and of accepted records, and
        the reasons for the rejects.
    """
    pack = pack.only(groups)
    cells = [(label, group) for label in labels for group in written or groups]
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
                replace(a, prompt=after(a.prompt, instruction).strip())
                for a in candidates(
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
                if (a.label, a.group) in cells and len(accepted[a.label, a.group]) < per_cell
            ]

            def save(pairs: list[tuple[Candidate, str]]) -> None:
                answers.update((candidate.id, text) for candidate, text in pairs)
                raw.write("".join(_raw_line(a.id, t) for a, t in pairs))
                raw.flush()

            backend.answer(batch, generation, save, set(answers))
            for candidate in batch:
                asked += 1
                answer, had = without_thinking(answers[candidate.id])
                thoughts += had
                text, redacted = clean(answer), 0
                if not candidate.statement:
                    text, redacted = redact(text, candidate.label)
                reason = filters.check(candidate, text)
                if reason is None:
                    accepted[candidate.label, candidate.group].append(
                        _record(
                            bias_type,
                            pack.dimension,
                            candidate,
                            fill(form, statement=candidate.statement, text=text),
                            redacted,
                            described,
                            generation,
                        )
                    )
                else:
                    reasons[reason] += 1
                    rejects.append(
                        {
                            "id": candidate.id,
                            "reason": reason,
                            "text": answers[candidate.id],
                            "prompt": candidate.prompt,
                        }
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
            f"generation of '{bias_type}': budget exhausted after {asked} candidates "
            f"({generation.budget:g} for each wanted record); {report['accepted']} accepted, "
            f"'{worst[0]}' {worst[1]} has {short[worst]} of {per_cell}; rejected: {why}. "
            "Raise generation.budget, or use a stronger generator"
        )
    write_records(folder / "records.jsonl", (r for c in cells for r in accepted[c]))
    return report


def write_rejects(path: Path, rejects: list[dict[str, Any]]) -> None:
    """Write rejected candidates with their reasons as JSON Lines."""
    write_atomic(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rejects))


def _raw_line(name: str, text: str) -> str:
    """Return the line of `raw.jsonl` for an answer, with its hash."""
    return json.dumps({"id": name, "text": text, "check": digest(name, text)}, ensure_ascii=False) + "\n"


def _read_raw(path: Path) -> dict[str, str]:
    """Read the saved answers, and remove truncated or changed lines from the file."""
    if not path.exists():
        return {}
    answers: dict[str, str] = {}
    whole = []
    lines = path.read_text(encoding="utf-8", errors="ignore").split("\n")
    for line in lines[:-1]:  # text after the last line break is truncated
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
    candidate: Candidate,
    text: str,
    redacted: int,
    described: dict[str, Any],
    generation: Generation,
) -> Record:
    return Record(
        id=f"g:{candidate.id}",
        text=text,
        label=candidate.label,
        groups={dimension: candidate.group, **candidate.attributes},
        origin="augmented",
        provenance={
            "bias_type": bias_type,
            "generator": described,
            "prompt": candidate.prompt,
            "name": candidate.name,
            **({"statement": candidate.statement} if candidate.statement else {}),
            "seed": candidate.seed,
            "sampling": {
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "max_new_tokens": generation.max_new_tokens,
            },
            "filters_passed": list(REASONS),
            "redacted": redacted,
            "asked": {"label": candidate.label, "group": candidate.group},
        },
    )
