"""Which server, which model, how much it may cost."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from probate.core.errors import InputError
from probate.core.servers import host_of, key_for


class ApiSpec(BaseModel):
    """An OpenAI-compatible server. The key is read from the environment and stands in no file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(description="Name of the model on the server.")
    base_url: str = Field(
        "https://api.openai.com/v1", description="Address of the server, as in http://localhost:8000/v1."
    )
    key_env: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; unset for a local server without one.",
    )
    concurrency: int = Field(8, ge=1, le=256, description="Most requests at once.")
    retries: int = Field(
        6,
        ge=0,
        description="Further attempts after an error that may pass (429, 5xx, a broken connection, an answer "
        "that is none).",
    )
    wait: float = Field(
        0.5,
        ge=0,
        description="Seconds before the second attempt; doubled with each, with jitter, never less than a "
        "Retry-After.",
    )
    timeout: float = Field(60.0, gt=0, description="Seconds for one whole answer.")
    max_tokens_total: int | None = Field(
        None,
        ge=1,
        description="Most tokens, of prompts and answers together, of all that the run folder ever asked; "
        "never overrun.",
    )
    max_cost: float | None = Field(
        None,
        gt=0,
        description="Most money, of all that the run folder ever asked; needs both prices; never overrun.",
    )
    price_in: float = Field(0.0, ge=0, description="Price of a million prompt tokens.")
    price_out: float = Field(0.0, ge=0, description="Price of a million answer tokens.")

    def key(self) -> str:
        """The key, or a stand-in where there is none; errors as `probate.core.servers.key_for`."""
        return key_for(self.base_url, self.key_env)

    def checked(self) -> ApiSpec:
        """Itself.

        Raises
        ------
        InputError
            A budget in money without prices, or an address that is none or holds a credential.
        """
        if self.max_cost is not None and not (self.price_in or self.price_out):
            raise InputError("api: max_cost needs price_in and price_out (of a million tokens)")
        host_of(self.base_url)
        return self
