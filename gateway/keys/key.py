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
    """What one key is good for."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Annotated[str, StringConstraints(pattern=ID)]
    """Its name in logs and metrics."""

    name: str = Field(default="", max_length=200)
    """Whose it is, for people."""

    hash: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    """The SHA-256 of the key."""

    created: Moment | None = None
    """When it was made."""

    expires: Moment | None = None
    """From when on it is refused, as 2027-01-31 or 2027-01-31T12:00:00Z; unset for never."""

    revoked: Moment | None = None
    """Since when it is refused whatever else is said; unset while it is good."""

    models: tuple[Name, ...] = ()
    """The models it may use, by name or alias; empty for all."""

    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    """The most rerank requests per minute; unset for no limit."""

    concurrency: int | None = Field(default=None, ge=1, le=1_000_000)
    """The most rerank requests at a time; unset for no limit."""

    weight: float = Field(default=1.0, ge=0.01, le=1000, allow_inf_nan=False)
    """Its share of a busy model, beside the weights of the other keys."""

    admin: bool = False
    """Whether it may also see status and metrics, reload, and drain."""

    def state(self, now: datetime) -> State:
        """Return whether it is good at this time."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "good"
