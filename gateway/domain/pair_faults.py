"""Faults of single pairs, and the errors that clients get for them. Pure."""

from gateway.domain.errors import EngineFailed, GatewayError, InvalidRequest, Quarantined
from gateway.domain.request import RerankRequest
from shards.wire.messages import DOCUMENT_TOO_LONG, ENGINE_ERROR, INVALID_SCORE

QUARANTINED = "quarantined"


DOUBTFUL = frozenset({ENGINE_ERROR, INVALID_SCORE})
"""Codes of faults that may be the replica's as well as the pair's."""


class PairFault(Exception):
    """One pair of a job is at fault.

    Attributes:
        code: a key of `FAULTS`.
        place: that of the pair in its job.
        detail: the message of the shard.
    """

    def __init__(self, code: str, place: int, detail: str = "") -> None:
        super().__init__(f"pair {place}: {code} {detail}")
        self.code = code
        self.place = place
        self.detail = detail


FAULTS: dict[str, tuple[type[GatewayError], str]] = {
    DOCUMENT_TOO_LONG: (
        InvalidRequest,
        "{name} is too long, and the request forbids truncation: the limit is {limit}; shorten "
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
"""The client's error and its message, by code of a fault."""


def client_error(fault: PairFault, request: RerankRequest, index: int, limit: str) -> GatewayError:
    """Return the error that a client gets for a fault.

    Args:
        fault: the fault.
        request: its request, whose field with the documents is named.
        index: the document's place in the request.
        limit: the limit of a document, in words.
    """
    error, text = FAULTS[fault.code]
    name = f"{request.documents_field}[{request.place(index)}]"
    return error(text.format(name=name, limit=limit, detail=fault.detail), param=name)
