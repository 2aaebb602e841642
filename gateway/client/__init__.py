"""The Python client.

    from gateway.client import Client

    with Client("http://127.0.0.1:8080") as client:
        for result in client.rerank("capital of France", ["Berlin is big.", "Paris is it."]):
            print(result.relevance_score, result.document)

`AsyncClient` is the same with `await`. `docs/clients.md` has more.
"""

from gateway.client.asynchronous import AsyncClient
from gateway.client.errors import (
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerFault,
    Unauthorized,
    Unavailable,
    UnknownModel,
)
from gateway.client.ranking import Ranked, Ranking
from gateway.client.retries import Retries
from gateway.client.synchronous import Client
from gateway.client.wire import Details

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Details",
    "InvalidRequest",
    "Overloaded",
    "Ranked",
    "Ranking",
    "Retries",
    "ServerFault",
    "Unauthorized",
    "Unavailable",
    "UnknownModel",
]
