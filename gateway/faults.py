"""What is said to the client when one pair of its request is at fault. Pure."""

from gateway.domain import RerankRequest
from gateway.errors import EngineFailed, GatewayError, InvalidRequest, Quarantined
from shards.wire.messages import DOCUMENT_TOO_LONG, ENGINE_ERROR, INVALID_SCORE

QUARANTINED = "quarantined"


DOUBTFUL = frozenset({ENGINE_ERROR, INVALID_SCORE})
"""Codes of faults that may be the replica's as well as the pair's."""


class PairFault(Exception):
    """One pair of a job is at fault.

    Attributes:
        code: a key of `FAULTS`.
        place: of the pair in its job.
        detail: what the shard says of it.
    """

    def __init__(self, code: str, place: int, detail: str = "") -> None:
        super().__init__(f"pair {place}: {code} {detail}")
        self.code = code
        self.place = place
        self.detail = detail


FAULTS: dict[str, tuple[type[GatewayError], str]] = {
    DOCUMENT_TOO_LONG: (
        InvalidRequest,
        "{name} is too long, and the request says not to truncate: the limit is {limit}; shorten "
        "it, or allow truncation",
    ),
    QUARANTINED: (
        Quarantined,
        "{name} with this query ended the shards that scored it; it is refused for ten minutes: "
        "send the others without it, and tell the operator",
    ),
    ENGINE_ERROR: (EngineFailed, "{name} could not be scored: {detail}"),
    INVALID_SCORE: (EngineFailed, "{name} could not be scored: the model gave {detail}"),
}
"""Code of a fault -> what the client gets."""


def told(fault: PairFault, request: RerankRequest, index: int, limit: str) -> GatewayError:
    """Return a fault as the client is told of it.

    Args:
        fault: what happened.
        request: whose field holds the documents.
        index: the document's place in the request.
        limit: what a document may have, in words.
    """
    error, text = FAULTS[fault.code]
    name = f"{request.documents_field}[{index}]"
    return error(text.format(name=name, limit=limit, detail=fault.detail), param=name)
