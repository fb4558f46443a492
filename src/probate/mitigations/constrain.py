"""Constrain: the generator is told not to lean on stereotypes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from probate.core.errors import InputError
from probate.mitigations.base import Mitigation, MitigationContext, Options, spoken

SENTENCES = {
    "en": "Do not rely on stereotypes: describe people in the same way whatever their gender, culture, age or background.",
    "es": "No recurras a estereotipos: describe a las personas del mismo modo sea cual sea su género, cultura, edad u origen.",
    "pt": "Não recorra a estereótipos: descreva as pessoas do mesmo modo, seja qual for seu gênero, cultura, idade ou origem.",
    "zh": "不要依赖刻板印象：无论性别、文化、年龄或背景如何，都用同样的方式描述人。",
    "ar": "لا تعتمد على الصور النمطية: صف الناس بالطريقة نفسها مهما كان جنسهم أو ثقافتهم أو عمرهم أو خلفيتهم.",
}


class ConstrainOptions(Options):
    sentence: str | None = Field(
        None,
        min_length=1,
        description="What the generator is told after each prompt; default: Probate's own in the language.",
    )


class Constrain(Mitigation):
    """The augmented records are generated anew, with a sentence after each prompt that asks for no stereotypes.

    It acts on the texts; what a biased annotator does to labels afterwards (`bias.strength`) stays.
    """

    name = "constrain"
    title = "Constrain"
    source = "generator constraint by a fairness instruction"
    idempotent = True
    option_type: ClassVar[type[Options]] = ConstrainOptions

    def check(self, context: MitigationContext) -> None:
        if not context.generated:
            raise InputError(
                "mitigations: constrain acts on the generator, and these augmented records are there already; it needs a study that generates them"
            )
        self.instruction(context)

    def instruction(self, context: MitigationContext) -> str:
        return spoken(self.name, self.options.sentence, SENTENCES, context.language)
