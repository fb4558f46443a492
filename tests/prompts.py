"""Golden files of every prompt: `make golden` writes them to tests/golden, tests compare them, people read them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from parts import of_parts
from rendering import Prompt, of_presets

GOLDEN = Path(__file__).parent / "golden"
COMMAND = "make golden"


def golden() -> dict[str, str]:
    """File name → content.

    Files by part and language have one prompt of each kind. `presets.LANGUAGE.txt` have prompts of presets that are in
    no other file. `presets.txt` has the number and the hash of all prompts of each part of each preset.
    """
    files: dict[str, list[str]] = {}
    known: set[str] = set()

    def add(what: str, prompts: Iterable[Prompt]) -> None:
        seen = set()
        for p in prompts:
            shown = p.shown()
            if p.kind == "" or (p.language, p.part, p.kind) in seen or shown in known:
                continue
            seen.add((p.language, p.part, p.kind))
            known.add(shown)
            head = f"== {p.part}" + ("" if p.kind.isdigit() else f" | {p.kind}")
            files.setdefault(f"{what}.{p.language}.txt", []).append(f"{head}\n{shown}\n")

    for name, prompts in of_parts().items():
        add(name, prompts)
    table = []
    for (preset, language), (rendered, reason) in of_presets().items():
        table += [f"{preset} {language}: rendered on built-in data, because {reason}"] if reason else []
        parts: dict[str, list[Prompt]] = {}
        for p in rendered:
            parts.setdefault(p.part, []).append(p)
        for part, own in parts.items():
            digest = hashlib.sha256("\0".join(p.shown() for p in own).encode()).hexdigest()[:12]
            table.append(f"{preset} {language}: {part}: {len(own):,} prompts, {digest}")
        add("presets", (replace(own[0], part=f"{preset}: {part}", kind="0") for part, own in parts.items()))
    files["presets.txt"] = table
    head = f"# Made by `{COMMAND}`; do not edit.\n\n"
    return {name: head + "\n".join(lines).rstrip("\n") + "\n" for name, lines in sorted(files.items())}


def main(folder: str = str(GOLDEN)) -> None:
    """Write the golden files, and remove those of earlier versions."""
    made = golden()
    Path(folder).mkdir(exist_ok=True)
    for old in Path(folder).glob("*.txt"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(made)} files in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
