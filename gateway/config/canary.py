"""The keys of one pair of the operator's own, `[[models.NAME.canaries]]`."""

from pydantic import Field

from gateway.config.section import Section


class CanarySettings(Section):
    """A query whose answer is known. The right document must beat the wrong one."""

    query: str = Field(min_length=1, max_length=10_000)
    """What is asked."""

    right: str = Field(min_length=1, max_length=10_000)
    """A document that answers it."""

    wrong: str | None = Field(default=None, max_length=10_000)
    """A document that does not."""

    right_score: float | None = Field(default=None, ge=0, le=1)
    """The relevance score that the right document must have."""

    wrong_score: float | None = Field(default=None, ge=0, le=1)
    """The relevance score that the wrong document must have."""

    tolerance: float = Field(default=0.02, ge=0, le=1)
    """How far a score may lie from what is expected."""
