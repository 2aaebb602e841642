"""Where which API is spoken: the table of paths, and the signs by which fields tell them apart.

Where vendors share a path they share a dialect, unless the fields of a request know better
(`SIGNALS`). Below a vendor's prefix (`/infinity/...`) the path alone decides, and the reply is that
vendor's own. `/models/NAME` before any path names the model, for the APIs that carry none; NAME may
have slashes, and ends where the longest known path begins.

To add an API: one file in this package, its paths here, one folder of golden JSON in the tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.dialects.base import Dialect
from gateway.dialects.cohere import V1, V2
from gateway.dialects.infinity import INFINITY
from gateway.dialects.jina import JINA
from gateway.dialects.litellm import LITELLM
from gateway.dialects.llamacpp import LLAMACPP
from gateway.dialects.mixedbread import MIXEDBREAD
from gateway.dialects.native import NATIVE, PAIRS
from gateway.dialects.nim import NIM
from gateway.dialects.tei import TEI
from gateway.dialects.together import TOGETHER
from gateway.dialects.vllm import VLLM, VLLM_SCORE
from gateway.dialects.voyage import VOYAGE


@dataclass(frozen=True, slots=True)
class Place:
    """What a path says of a request.

    Attributes:
        dialect: the API there.
        is_shared: whether the fields of a request may say that it is another one.
        model: the model that the path names, if it does.
    """

    dialect: Dialect
    is_shared: bool = False
    model: str | None = None

    def dialect_for(self, keys: frozenset[str] = frozenset()) -> Dialect:
        """Return the dialect of a request that has these fields."""
        if self.is_shared and keys:
            for dialect, fits in SIGNALS:
                if fits(keys):
                    return dialect
        return self.dialect


_SHARED: dict[str, Dialect] = {
    "/rerank": NATIVE,
    "/v1/rerank": JINA,
    "/v2/rerank": V2,
    "/reranking": JINA,
    "/v1/reranking": JINA,
    "/v1/v1/rerank": V1,  # a Cohere client whose base URL ends in /v1
    "/v1/v2/rerank": V2,
    "/": NATIVE,  # where TEI too takes requests
    "/invocations": NATIVE,  # where SageMaker sends what TEI serves
}
_OWN: dict[str, Dialect] = {
    "/score": VLLM_SCORE,
    "/v1/score": VLLM_SCORE,
    "/v1/ranking": NIM,
}
_PREFIXES: dict[str, dict[str, Dialect]] = {
    "/cohere": {"/v1/rerank": V1, "/v2/rerank": V2, "/v1/v1/rerank": V1, "/v1/v2/rerank": V2},
    "/infinity": {"/rerank": INFINITY, "/v1/rerank": INFINITY},
    "/jina": {"/rerank": JINA, "/v1/rerank": JINA},
    "/litellm": {"/rerank": LITELLM, "/v1/rerank": LITELLM, "/v2/rerank": LITELLM},
    "/llamacpp": {
        "/rerank": LLAMACPP,
        "/reranking": LLAMACPP,
        "/v1/rerank": LLAMACPP,
        "/v1/reranking": LLAMACPP,
    },
    "/mixedbread": {"/reranking": MIXEDBREAD, "/v1/reranking": MIXEDBREAD},
    "/nim": {"/ranking": NIM, "/v1/ranking": NIM},
    "/tei": {"/rerank": TEI},
    "/together": {"/rerank": TOGETHER, "/v1/rerank": TOGETHER},
    "/vllm": {
        "/rerank": VLLM,
        "/v1/rerank": VLLM,
        "/v2/rerank": VLLM,
        "/score": VLLM_SCORE,
        "/v1/score": VLLM_SCORE,
    },
    "/voyage": {"/rerank": VOYAGE, "/v1/rerank": VOYAGE},
}

PATHS: dict[str, Place] = {
    **{path: Place(dialect, is_shared=True) for path, dialect in _SHARED.items()},
    **{path: Place(dialect) for path, dialect in _OWN.items()},
    **{
        prefix + path: Place(dialect)
        for prefix, paths in _PREFIXES.items()
        for path, dialect in paths.items()
    },
}
"""Where requests are taken (POST)."""

MODEL_PREFIX = "/models/"

SIGNALS: tuple[tuple[Dialect, Callable[[frozenset[str]], bool]], ...] = (
    (PAIRS, lambda keys: "pairs" in keys and "documents" not in keys),
    (TEI, lambda keys: "texts" in keys and "documents" not in keys),
    (MIXEDBREAD, lambda keys: "input" in keys and "documents" not in keys),
)
"""Dialects that are known by the fields of the request, on shared paths; the first that fits counts.

What Voyage's clients send (`top_k`, `truncation`) needs no other dialect: the shared reply has
their `data`.
"""

DIALECTS: tuple[Dialect, ...] = (
    *{place.dialect.name: place.dialect for place in PATHS.values()}.values(),
    PAIRS,
)
"""All there are, each once."""

ELSEWHERE = Place(JINA)
"""In whose words errors are told where no dialect has a say, as on an unknown path."""


def place_of(path: str) -> Place | None:
    """Return what the path says of a rerank request; `None` where none is taken."""
    place = PATHS.get(path)
    if place is None and path.startswith(MODEL_PREFIX):
        return _place_of_model(path.removeprefix(MODEL_PREFIX))
    return place


def dialect_of(path: str, keys: frozenset[str] = frozenset()) -> Dialect:
    """Return the dialect of a request to this path with these fields."""
    return (place_of(path) or ELSEWHERE).dialect_for(keys)


def _place_of_model(rest: str) -> Place | None:
    """Split `NAME/v1/rerank`: the shortest name leaves the longest path."""
    end = rest.find("/", 1)
    while end > 0:
        place = PATHS.get(rest[end:])
        if place is not None:
            return replace(place, model=rest[:end])
        end = rest.find("/", end + 1)
    return None
