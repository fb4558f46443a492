"""Settings of an OpenAI-compatible server: address, model, limits and budget."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from probate.core.errors import InputError
from probate.core.servers import host_of, key_for


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
        description="Maximum number of tokens, of prompts and answers together, in all requests that the "
        "run folder ever made. It is never exceeded.",
    )
    max_cost: float | None = Field(
        None,
        gt=0,
        description="Maximum cost of all requests that the run folder ever made; needs both prices. It is "
        "never exceeded.",
    )
    price_in: float = Field(0.0, ge=0, description="Price of a million prompt tokens.")
    price_out: float = Field(0.0, ge=0, description="Price of a million answer tokens.")

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
        host_of(self.base_url)
        return self
