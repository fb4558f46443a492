"""Usual names of the columns of data files, in order of preference. All readers of tables use these lists."""

from __future__ import annotations

from typing import Any

CHATS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns")
PAIRS = (("chosen", "rejected"), ("preferred", "rejected"), ("preferred_output", "non_preferred_output"))
"""Preference pairs: the better answer and the other one."""
RESPONSES = (
    "completion",
    "response",
    "output",
    "answer",
    "reply",
    "generation",
    "generated_text",
    "generated",
    "model_output",
    "target_text",
)
TEXTS = (
    "text",
    "bio",
    "biography",
    "content",
    "body",
    "document",
    "article",
    "sentence",
    "review",
    "comment",
    "essay",
    "story",
)
INSTRUCTIONS = ("instruction", "instructions", "task")
PROMPTS = ("prompt", "prompts", *INSTRUCTIONS, "question", "query", "input", "inputs", "context", "passage")
"""Columns of the prompt: each of them that a file has is part of the prompt, in this order."""
SYSTEMS = ("system", "system_prompt", "system_message")
LABELS = (
    "label", "labels", "occupation", "job", "profession", "class", "category", "topic", "sentiment", "intent",
    "target", "label_text", "label_name",
)  # fmt: skip
IDS = (
    "id", "uid", "uuid", "guid", "record_id", "source_id", "row_id", "example_id", "doc_id", "prompt_id",
    "idx", "index", "hash", "sha256", "md5",
)  # fmt: skip
PARENTS = ("parent", "parent_id", "original_id", "source_id", "seed_id")
"""Columns with the id of the record that a record was made from."""
JOINED = ("pair", "pair_id", "cluster", "cluster_id", "item_id")
"""Columns with an id that several records of one file share."""
GENERATORS = ("generator", "model", "generated_by", "model_name")
RESULT_ITEMS = ("item", "item_id", "id", "doc_id", "sample_id", "question_id")
"""Columns with the id of an item in a table of results."""
RESULT_SCORES = ("score", "correct", "acc", "accuracy", "value", "exact_match")
RESULT_QUESTIONS = ("question", "prompt", "input", "query")
RESULT_GROUPS = ("groups", "group")
ANSWER_SHARES = ("shares", "human", "distribution")
"""Columns with the shares of people's answers to a survey question."""

SPELLINGS = {"f": "female", "m": "male", "woman": "female", "man": "male", "women": "female", "men": "male"}
ROLES = {
    "human": "user", "user": "user", "prompter": "user", "gpt": "assistant", "assistant": "assistant",
    "model": "assistant", "bot": "assistant",
    "chatgpt": "assistant", "chatbot": "assistant", "system": "system", "developer": "system", "tool": "tool",
    "function": "tool",
    "ipython": "tool", "observation": "tool",
}  # fmt: skip
"""Spelling of a role in chats, in lower case → user, assistant, system or tool."""
ROLE_KEYS = ("role", "from", "speaker", "author")
TEXT_KEYS = ("content", "value", "text")


def key_of(column: str) -> str:
    """Return the lookup key of a column: its last part in lower case, with `_` for spaces and hyphens."""
    return column.rpartition(".")[2].strip().lower().replace(" ", "_").replace("-", "_")


def normal_group(value: Any) -> str:
    """Return the name of a group as in the identity packs: in lower case, usual short forms spelled out."""
    text = str(value or "").strip().lower()
    return SPELLINGS.get(text, text)
