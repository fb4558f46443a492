"""A generator without a model, for tests of what is done with generated texts."""

from __future__ import annotations

from typing import ClassVar


class Writer:
    """A generator that answers every prompt with the same two sentences."""

    asked: ClassVar[list[str]] = []

    def __init__(self, lm):
        pass

    def describe(self):
        return {
            "name": "writer",
            "fingerprint": "0",
            "revision": None,
            "parameters": 1,
            "dtype": "float32",
            "device": "cpu",
            "adapter": None,
        }

    def answer(self, batch, generation, done, have):
        for ask in batch:
            self.asked.append(ask.prompt)
            she = "She" if ask.group == "female" else "He"
            number = len(self.asked)
            done(
                [
                    (
                        ask,
                        (
                            f"{ask.name} has worked in town {number} for {number} years. {she} "
                            f"is known for patience and {number} good ideas, and likes the work."
                        ),
                    )
                ]
            )
