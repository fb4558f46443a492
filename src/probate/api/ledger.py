"""A budget in tokens and money that is reserved before it is spent, so that it is never overrun."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from probate.api.spec import ApiSpec
from probate.errors import StageError


@dataclass
class Ledger:
    """What was spent, and what requests under way may still spend at most."""

    spec: ApiSpec
    prompt: int = 0
    answer: int = 0
    reserved_prompt: int = 0
    reserved_answer: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cost(self, prompt: int, answer: int) -> float:
        return (prompt * self.spec.price_in + answer * self.spec.price_out) / 1_000_000

    def reserve(self, prompt: int, answer: int) -> None:
        """Set aside what a request can use at most.

        Raises:
            StageError: it would overrun the budget; says what was spent and what there is.
        """
        with self._lock:
            all_prompt, all_answer = self.prompt + self.reserved_prompt + prompt, self.answer + self.reserved_answer + answer
            tokens, money = self.spec.max_tokens_total, self.spec.max_cost
            if tokens is not None and all_prompt + all_answer > tokens:
                raise StageError(
                    f"api budget: {self.prompt + self.answer:,} of {tokens:,} tokens are spent, another request may take {prompt + answer:,}; "
                    "raise max_tokens_total to go on (what was answered is kept)"
                )
            if money is not None and self.cost(all_prompt, all_answer) > money:
                raise StageError(
                    f"api budget: {self.cost(self.prompt, self.answer):.4f} of {money:g} is spent, another request may take {self.cost(prompt, answer):.4f}; "
                    "raise max_cost to go on (what was answered is kept)"
                )
            self.reserved_prompt += prompt
            self.reserved_answer += answer

    def settle(self, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        """Give back what a request had set aside, and book what it used."""
        with self._lock:
            self.reserved_prompt -= reserved[0]
            self.reserved_answer -= reserved[1]
            self.prompt += used[0]
            self.answer += used[1]
