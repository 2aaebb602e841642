"""A key as the operator has it: its section in the file, without the secret."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from gateway.config import Name

ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"

State = Literal["good", "expired", "revoked"]


def _start_of_day(value: object) -> object:
    """Let a date stand for its first moment, in UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_start_of_day)]


class Key(BaseModel):
    """One key: its validity, its permissions and its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Annotated[str, StringConstraints(pattern=ID)]
    """Its name in logs and metrics."""

    name: str = Field(default="", max_length=200)
    """The name of its owner, for people."""

    hash: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    """The SHA-256 of the key."""

    created: Moment | None = None
    """The time at which it was made."""

    expires: Moment | None = None
    """The time from which on it is refused: 2027-01-31 or 2027-01-31T12:00:00Z; unset for never."""

    revoked: Moment | None = None
    """The time since which it is refused in any case; unset while it is valid."""

    models: tuple[Name, ...] = ()
    """The models that it may use, by name or alias; empty for all."""

    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    """The limit of rerank requests per minute; unset for none."""

    concurrency: int | None = Field(default=None, ge=1, le=1_000_000)
    """The limit of concurrent rerank requests; unset for none."""

    weight: float = Field(default=1.0, ge=0.01, le=1000, allow_inf_nan=False)
    """Its share of a busy model, beside the weights of the other keys."""

    score_cache: bool = True
    """Use of the score cache; without it none of its scores are kept, or come from there."""

    admin: bool = False
    """Set for an operator's key, which may also read status and metrics, reload, and drain."""

    def state(self, now: datetime) -> State:
        """Return the state of the key at a time."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "good"
