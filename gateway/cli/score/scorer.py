"""The interface of all that scores documents for a command, and the values that it exchanges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from gateway.domain.request import Policy

NO_DETAILS: Mapping[str, Any] = MappingProxyType({})
MOST_WARNINGS = 50
"""Warnings of a run that are kept; more of them are not read by people."""

RETRY_SECONDS = 120.0
"""Time for a gateway to restart, with its models."""

TIMEOUT_SECONDS = 600.0
"""Limit of one part of a request, with the time to load the model."""


class Refused(Exception):
    """The server or shard rejected the request; the message is its own."""


class RunRefused(Refused):
    """The server rejects every request of this run: its key or its model is wrong."""


class Unreachable(Exception):
    """No server answers at the URL, or it rejected a request for as long as it was tried again."""


class Score(Struct, frozen=True, gc=False):
    """The score of one document.

    Attributes:
        relevance_score: the score that is printed.
        rank_score: the score that decides the rank: the margin where it is known.
        details: margin, tokens, passages and span, if they were requested.
    """

    relevance_score: float
    rank_score: float
    details: Mapping[str, Any] = NO_DETAILS


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """Options of reading documents and of results; None for the settings of the model."""

    long_documents: "Policy | None" = None
    max_passages: int | None = None
    details: bool = False

    def fields(self) -> dict[str, Any]:
        """Return the options as fields of a request."""
        return {
            "long_documents": self.long_documents,
            "max_chunks_per_doc": self.max_passages,
            "return_details": self.details or None,
        }


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Public name of the model that scores, and the fingerprint of its weights, if it has one."""

    name: str
    weights: str = ""


class Scorer(Protocol):
    """Scores documents, in input order.

    Attributes:
        warnings: warnings of the server or of the model, each once.
    """

    warnings: dict[str, None]

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]: ...

    async def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """Score pairs of query and document in one request, if `takes_pairs`."""

    async def takes_pairs(self) -> bool:
        """Return whether the documents of several queries may share a request."""

    async def takes_parts(self) -> bool:
        """Return whether documents of one query may be divided among requests.

        A cascade ranks a list as a whole.
        """

    async def identity(self) -> ModelIdentity: ...
