"""Settings of an OpenAI-compatible server: address, model, limits and budget."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from probate.core.errors import InputError
from probate.core.servers import host_of, key_for


class FineTuneSpec(BaseModel):
    """Fine-tuning by the server: one job for each arm.

    Epochs and β are those of `training`, and the seed is the arm's. No other key of `training` has an effect.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    price: float = Field(
        0.0, ge=0, description="Price of a million trained tokens; each epoch counts. `max_cost` needs it."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Records in a step. Default: the server decides; training.batch_size is not used.",
    )
    learning_rate_multiplier: float | None = Field(
        None, gt=0, description="Factor of the server's own learning rate. Default: the server decides."
    )
    suffix: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,18}$",
        description="Part of the names of the fine-tuned models, where the server supports it.",
    )
    jobs: int = Field(
        3,
        ge=1,
        le=100,
        description="Maximum number of simultaneous jobs. Fewer run if the budget could not pay for all of "
        "them and their evaluation.",
    )
    poll: float = Field(
        10.0,
        gt=0,
        description="Seconds before a job's state is asked for again. Grows up to six times as long.",
    )
    patience: float = Field(
        24.0,
        gt=0,
        description="Maximum hours that a run waits for one job. The job goes on, and the same command "
        "waits for it again.",
    )
    samples: int = Field(
        8,
        ge=1,
        description="Sampled answers to each evaluation item, if the server gives no log-probabilities.",
    )


class ApiSpec(BaseModel):
    """An OpenAI-compatible server. The key is read from the environment and is not written to any file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(description="Name of the model on the server.")
    base_url: str = Field(
        "https://api.openai.com/v1", description="Address of the server, such as http://localhost:8000/v1."
    )
    key_env: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable with the key; not set for a local server without a key.",
    )
    concurrency: int = Field(8, ge=1, le=256, description="Maximum number of simultaneous requests.")
    retries: int = Field(
        6,
        ge=0,
        description="Further attempts after a temporary error (429, 5xx, a broken connection or an "
        "unreadable answer).",
    )
    wait: float = Field(
        0.5,
        ge=0,
        description="Seconds before the second attempt. Doubled for each further attempt, with jitter, and "
        "never less than a Retry-After header asks for.",
    )
    timeout: float = Field(60.0, gt=0, description="Maximum seconds for one complete answer.")
    max_tokens_total: int | None = Field(
        None,
        ge=1,
        description="Maximum number of tokens, of prompts, answers and fine-tuning together, in all requests "
        "that the run folder ever made. It is never exceeded.",
    )
    max_cost: float | None = Field(
        None,
        gt=0,
        description="Maximum cost of all requests and fine-tuning jobs that the run folder ever made; needs "
        "all prices. It is never exceeded.",
    )
    price_in: float = Field(0.0, ge=0, description="Price of a million prompt tokens.")
    price_out: float = Field(0.0, ge=0, description="Price of a million answer tokens.")
    fine_tune: FineTuneSpec | None = Field(
        None,
        description="Settings of the server's fine-tuning jobs; `{}` for the defaults. Needed if the study's "
        "model is behind the server.",
    )

    @model_serializer(mode="wrap")
    def _without_fine_tuning(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit `fine_tune` if there is none, so that lock files of other studies do not change."""
        return {k: v for k, v in handler(self).items() if k != "fine_tune" or v is not None}

    def key(self) -> str:
        """Return the key, or a placeholder if there is none (see `probate.core.servers.key_for`)."""
        return key_for(self.base_url, self.key_env)

    def checked(self) -> ApiSpec:
        """Check the settings and return them.

        Raises
        ------
        InputError
            `max_cost` is set without prices, or the address is not a valid one or contains a credential.
        """
        if self.max_cost is not None and not (self.price_in or self.price_out):
            raise InputError("api: max_cost needs price_in and price_out, the prices of a million tokens")
        if self.max_cost is not None and self.fine_tune is not None and not self.fine_tune.price:
            raise InputError("api: max_cost needs fine_tune.price, the price of a million trained tokens")
        host_of(self.base_url)
        return self
