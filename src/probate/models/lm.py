"""A causal language model with its tokenizer and chat template: text in, token ids out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from probate.core.cache import digest, file_digest
from probate.core.errors import InputError, first_line
from probate.core.inputs import LARGEST, read_bounded
from probate.core.records import with_notice
from probate.models.adapter import merged
from probate.models.checks import check_causal, check_kind, check_vocabulary, check_warnings, check_weights
from probate.models.embedded import WHEELS, embedded_path
from probate.models.quiet import quiet
from probate.models.sizes import check_files, check_size
from probate.models.template import Template
from probate.study.schema import ModelSpec

PLAIN_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
READ_FROM_FOLDER = (".safetensors", ".json", ".model", ".txt", ".jinja")
"""Endings of the files of a model's folder that decide what it computes: weights, configuration, tokenizer."""
MOST_CHARACTERS = 64
"""Of a token, when the longest text that fits is looked for."""


@dataclass
class LM:
    """One loaded model. `model` is a transformers causal LM in eval mode without gradients."""

    spec: ModelSpec
    model: Any
    tokenizer: Any
    path: str
    truncated: int = 0
    """Prompts of which a content lost its beginning because they were longer than the context."""
    notice: dict[str, str] | None = None
    """What stands before every chat prompt: `text`, and its `placement`, user or system."""
    warnings: list[str] = field(default_factory=list)
    """What the libraries warned of while it was loaded."""

    @property
    def pad_id(self) -> int:
        tokenizer = self.tokenizer
        return int(
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        )

    @property
    def context(self) -> int:
        """Longest sequence that the model was built for, in tokens."""
        return int(
            getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None) or 2048
        )

    @cached_property
    def template(self) -> Template:
        """The chat template, and what it can do."""
        return Template(self.tokenizer, self.spec.name)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: the template's end of turn, end of sequence, and what the model's config names.

        Raises:
            InputError: a turn ends with several tokens, and no control token is the first: one of them alone says nothing.
        """
        ids = {self.template.stop}
        config = getattr(self.model, "generation_config", None)
        named = getattr(config, "eos_token_id", None)
        for value in (named if isinstance(named, list) else [named], [self.tokenizer.eos_token_id]):
            ids.update(v for v in value if v is not None)
        return sorted(ids)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of `text`, no special tokens added; a control token in it is plain text."""
        return self.template.data_ids(text)

    def prompt_ids(
        self, messages: Sequence[dict[str, str]], room: int = 0, limit: int | None = None, prefix: str = ""
    ) -> list[int]:
        """Token ids of the chat up to the assistant's turn, then `prefix` (the forced beginning of the answer).

        With `room` tokens kept free for the answer. Of a prompt that is too long the longest content loses its beginning, and the prompt
        is counted; the system turn, a notice and what the template writes stay whole.

        Raises:
            InputError: no room for any text beside those and the answer.
        """
        most = min(limit or self.context, self.context) - room

        def ids(characters: int) -> list[int]:
            cut = [
                m if m["role"] == "system" else {**m, "content": str(m["content"])[-characters:]}
                for m in messages
            ]
            return self.template.chat_ids(with_notice(cut, self.notice), prefix)

        longest = max((len(str(m["content"])) for m in messages if m["role"] != "system"), default=1)
        found = ids(longest or 1)
        if len(found) <= most:
            return found
        self.truncated += 1
        found, most_characters = ids(1), min(longest, MOST_CHARACTERS * max(most, 0))
        if len(found) > most:
            raise InputError(
                f"model '{self.spec.name}': no room for a prompt: {most + room} tokens in all, {room} kept for the answer, {len(found)} "
                "of the template and what must stay; raise training.max_length, or ask for shorter answers"
            )
        fits = 1
        while most_characters - fits > 1:
            middle = (fits + most_characters) // 2
            shorter = ids(middle)
            if len(shorter) <= most:
                fits, found = middle, shorter
            else:
                most_characters = middle
        return found

    def completion_ids(self, text: str, end: bool = True, begins: bool = True) -> list[int]:
        """Token ids of an answer and, with `end`, of the end of turn that follows it; `begins` is false after a forced beginning."""
        return self.template.answer_ids(text, end=end, begins=begins)

    def decode(self, ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """The text of `ids`; with `after`, the ids before them, a space at its beginning stays."""
        if after:
            before = list(after[-8:])
            head, whole = self.decode(before), self.decode([*before, *ids])
            if whole.startswith(head):
                return whole[len(head) :]
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what the model is: the content of a local folder, else name, revision and commit; adapter; dtype; template and its date."""
        folder = Path(self.path)
        weights: list[Any] = []
        if folder.is_dir():
            files = [f for f in sorted(folder.iterdir()) if f.suffix in READ_FROM_FOLDER and f.is_file()]
            weights = [[file.name, file_digest(file)] for file in files]
        commit = getattr(self.model.config, "_commit_hash", None)
        name = self.spec.name if not folder.is_dir() else ""
        return digest(
            name,
            self.spec.revision,
            self.spec.adapter,
            _adapter_digests(self.spec.adapter),
            str(self.model.dtype),
            weights,
            commit,
            self.tokenizer.chat_template,
            self.template.describe(),
        )

    def describe(self) -> dict[str, Any]:
        """For provenance: name, revision, fingerprint, number of parameters, dtype, device, what the template adds, warnings."""
        return {
            "name": self.spec.name,
            "revision": self.spec.revision or getattr(self.model.config, "_commit_hash", None),
            "adapter": self.spec.adapter,
            "fingerprint": self.fingerprint[:16],
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": self.model.device.type,
            "template": self.template.describe(),
            "warnings": self.warnings,
        }


def load_lm(spec: ModelSpec | str) -> LM:
    """Load a model, by its spec or its name: embedded, local folder or hub id (offline first; safetensors only; no remote code).

    Raises:
        InputError: no such model, no tokenizer, no chat template (with the setting that helps); weights, vocabulary or adapter that
            do not belong together.
        StageError: an embedded model that cannot be fetched.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    spec = ModelSpec(name=spec) if isinstance(spec, str) else spec
    if spec.name in WHEELS and spec.name != "embedded":
        raise InputError(
            f"model '{spec.name}' makes sentence embeddings; a study needs a causal language model, such as 'embedded'"
        )
    path = str(embedded_path(spec.name)) if spec.name in WHEELS else spec.name
    device = spec.device if spec.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("model.device: 'cuda' was asked for, but torch finds no CUDA device here")
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(
        spec.dtype, torch.bfloat16 if device == "cuda" else torch.float32
    )
    kwargs: dict[str, Any] = {"revision": spec.revision, "trust_remote_code": False}
    with quiet() as warned:
        config = _offline_first(AutoConfig.from_pretrained, path, "its config.json", kwargs)
        check_kind(spec.name, config)
        check_size(spec.name, Path(path).expanduser(), config)
        tokenizer = _offline_first(AutoTokenizer.from_pretrained, path, "a tokenizer", kwargs)
        if not len(tokenizer):
            raise InputError(
                f"model '{path}': the folder has no tokenizer; copy tokenizer.json and tokenizer_config.json into it"
            )
        _set_template(tokenizer, spec)
        model, info = _offline_first(
            AutoModelForCausalLM.from_pretrained,
            path,
            "a causal language model",
            {
                **kwargs,
                "dtype": dtype,
                "use_safetensors": True,
                "output_loading_info": True,
                "ignore_mismatched_sizes": True,  # checked below, with their names
            },
        )
        check_weights(spec.name, model, info)
        check_vocabulary(spec.name, model, tokenizer)
        if spec.adapter:
            model = merged(model, spec.adapter, path)
    model = model.to(device).eval().requires_grad_(False)
    check_causal(spec.name, model)
    lm = LM(spec, model, tokenizer, path, warnings=check_warnings(spec.name, warned))
    _ = lm.template  # refused now, not in the middle of a run
    return lm


def _adapter_digests(adapter: str | None) -> list[str]:
    """Of the files of a local adapter."""
    folder = Path(adapter).expanduser() if adapter else None
    return [file_digest(f) for f in sorted(folder.glob("adapter_*"))] if folder and folder.is_dir() else []


def _set_template(tokenizer: Any, spec: ModelSpec) -> None:
    if spec.chat_template == "plain":
        begins = tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][:1] == [
            tokenizer.bos_token_id
        ]
        tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + PLAIN_TEMPLATE
    elif spec.chat_template:
        tokenizer.chat_template = read_bounded(
            Path(spec.chat_template), LARGEST, f"model.chat_template: {spec.chat_template}"
        )
    elif not tokenizer.chat_template:
        raise InputError(
            f"model '{spec.name}': its tokenizer has no chat template; set model.chat_template to 'plain' or to a file with one"
        )


def _offline_first(load: Any, path: str, what: str, kwargs: dict[str, Any]) -> Any:
    """Try the local cache, then the network; explain in one sentence if neither has it."""
    local = Path(path).expanduser()
    if local.exists() or path.startswith((".", "/", "~")):
        if not (local / "config.json").exists():
            raise InputError(f"model '{path}': no folder with a config.json there")
        if "tokenizer" in what and not any(
            (local / n).exists()
            for n in ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
        ):
            raise InputError(
                f"model '{path}': the folder has no tokenizer; copy tokenizer.json and tokenizer_config.json into it"
            )
        check_files(local)
        path = str(local)
    try:
        return load(path, local_files_only=True, **kwargs)
    except Exception as first:
        if Path(path).exists():
            raise InputError(f"model '{path}': {what} cannot be loaded ({first_line(first)})") from None
    try:
        return load(path, **kwargs)
    except Exception as error:
        raise InputError(
            f"model '{path}': no local folder, not in the local Hugging Face cache, and not to be had from the hub ({first_line(error)})"
        ) from None
