"""The keys of the configuration about the size of requests."""

from pydantic import Field

from gateway.config.section import Section


class LimitSettings(Section):
    """What a request may hold, and how much may wait."""

    documents: int = Field(default=10_000, ge=1, le=1_000_000)
    """The most documents of one request."""

    document_bytes: int = Field(default=1_000_000, ge=1)
    """The most bytes of one document, as UTF-8."""

    query_bytes: int = Field(default=100_000, ge=1)
    """The most bytes of one query or instruction, as UTF-8."""

    body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The most bytes of one request body."""

    queue_tokens: int = Field(default=2_000_000, ge=1)
    """The most tokens that wait for one model; beyond it the answer is 503 with Retry-After."""
