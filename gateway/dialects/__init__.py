"""The table of dialects: what a path means, and what the fields of a request say beyond that.

To add an API: one file here, one line in `PATHS` (or in `SIGNALS`, if it shares its paths with
others), one folder of golden JSON in the tests.
"""

from collections.abc import Callable

from gateway.dialects.base import Dialect, Limits
from gateway.dialects.body import RerankBody, decode, sent_keys
from gateway.dialects.cohere import V1, V2
from gateway.dialects.jina import JINA
from gateway.dialects.media import Form, encode, reply_form, request_form
from gateway.dialects.native import NATIVE, PAIRS
from gateway.dialects.tei import TEI

PATHS: dict[str, Dialect] = {
    "/rerank": NATIVE,
    "/v1/rerank": JINA,
    "/reranking": JINA,
    "/v1/reranking": JINA,
    "/v1/v1/rerank": V1,  # a Cohere client whose base URL ends in /v1
    "/v2/rerank": V2,
    "/v1/v2/rerank": V2,
    "/cohere/v1/rerank": V1,
    "/cohere/v2/rerank": V2,
    "/jina/v1/rerank": JINA,
    "/tei/rerank": TEI,
}
"""Where requests are taken (POST), and the dialect there unless a signal says otherwise."""

SIGNALS: tuple[tuple[Dialect, Callable[[frozenset[str]], bool]], ...] = (
    (PAIRS, lambda keys: "pairs" in keys and "documents" not in keys),
    (TEI, lambda keys: "texts" in keys and "documents" not in keys),
)
"""Dialects that are known by the fields of the request, on any path; the first that fits counts."""

DEFAULT = JINA
"""In whose words errors are told where no dialect has a say, as on an unknown path."""


def dialect_of(path: str, keys: frozenset[str] = frozenset()) -> Dialect:
    """Return the dialect of a request to this path with these fields."""
    at_path = PATHS.get(path, DEFAULT)
    return next((dialect for dialect, fits in SIGNALS if fits(keys)), at_path)


__all__ = [
    "DEFAULT",
    "PATHS",
    "SIGNALS",
    "Dialect",
    "Form",
    "Limits",
    "RerankBody",
    "decode",
    "dialect_of",
    "encode",
    "reply_form",
    "request_form",
    "sent_keys",
]
