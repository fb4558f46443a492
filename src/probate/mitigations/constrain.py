"""Constrain: instructs the generator not to rely on stereotypes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from probate.core.errors import InputError
from probate.mitigations.base import Mitigation, MitigationContext, Options, sentence_in

SENTENCES = {
    "en": (
        "Do not rely on stereotypes: describe people in the same way whatever their gender, culture, "
        "age or background."
    ),
    "es": (
        "No recurras a estereotipos: describe a las personas del mismo modo sea cual sea su género, "
        "cultura, edad u origen."
    ),
    "pt": (
        "Não recorra a estereótipos: descreva as pessoas do mesmo modo, seja qual for seu gênero, "
        "cultura, idade ou origem."
    ),
    "zh": "不要依赖刻板印象：无论性别、文化、年龄或背景如何，都用同样的方式描述人。",
    "ar": (
        "لا تعتمد على الصور النمطية: صف الناس بالطريقة نفسها مهما كان جنسهم أو ثقافتهم أو عمرهم أو خلفيتهم."
    ),
}


class ConstrainOptions(Options):
    sentence: str | None = Field(
        None,
        min_length=1,
        description="Sentence after each prompt for the generator; default: Probate's own in the language.",
    )


class Constrain(Mitigation):
    """Generate the augmented records again, with a sentence after each prompt that forbids stereotypes.

    It changes the texts. Labels that the biased annotator changes afterwards (`bias.strength`) are not
    affected.
    """

    name = "constrain"
    title = "Constrain"
    source = "generator constraint by a fairness instruction"
    idempotent = True
    option_type: ClassVar[type[Options]] = ConstrainOptions

    def check(self, context: MitigationContext) -> None:
        if not context.generated:
            raise InputError(
                "mitigations: constrain changes the prompts of the generator, but these records already "
                "exist; use it in a study that generates them"
            )
        self.instruction(context)

    def instruction(self, context: MitigationContext) -> str:
        return sentence_in(self.name, self.options.sentence, SENTENCES, context.language)
