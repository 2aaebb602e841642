"""The table of paths, and the detection of a dialect by the fields of a request.

Vendors that share a path share a dialect, unless the fields of a request match a signature
(`FIELD_SIGNATURES`). Below a vendor's prefix (`/infinity/...`) the path alone decides, and the
reply is that vendor's own. `path_matching` finds the path of a request in the table.

To add an API: one file in this package, its paths here, one folder of golden JSON in the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.dialects.base import Dialect
from gateway.dialects.cohere import V1, V2
from gateway.dialects.dashscope import DASHSCOPE, DASHSCOPE_NATIVE
from gateway.dialects.google import GOOGLE
from gateway.dialects.huggingface import HUGGINGFACE
from gateway.dialects.infinity import INFINITY
from gateway.dialects.jina import JINA
from gateway.dialects.litellm import LITELLM
from gateway.dialects.llamacpp import LLAMACPP
from gateway.dialects.mixedbread import MIXEDBREAD
from gateway.dialects.mosec import MOSEC
from gateway.dialects.native import NATIVE, PAIRS
from gateway.dialects.nim import NIM
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.dialects.pinecone import PINECONE
from gateway.dialects.sglang import SGLANG
from gateway.dialects.tei import TEI
from gateway.dialects.tei_embed import TEI_EMBED
from gateway.dialects.together import TOGETHER
from gateway.dialects.vllm import VLLM, VLLM_SCORE
from gateway.dialects.voyage import VOYAGE
from gateway.dialects.weaviate import WEAVIATE
from gateway.dialects.zeroentropy import ZEROENTROPY

FIELD_SIGNATURES: dict[str, Dialect] = {"pairs": PAIRS, "texts": TEI, "input": MIXEDBREAD}
"""Dialects that a field of a request without `documents` selects on shared paths, first to last.

Requests of Voyage's clients (`top_k`, `truncation`) need no other dialect: the shared reply has
their `data`.
"""


@dataclass(frozen=True, slots=True)
class RerankPath:
    """The match of a path.

    Attributes:
        dialect: the API of the path.
        signatures: APIs that a field of a request without `documents` selects instead.
        model: the model in the path, if there is one.
    """

    dialect: Dialect
    signatures: Mapping[str, Dialect] = field(default_factory=dict)
    model: str | None = None

    @property
    def is_shared(self) -> bool:
        """True if the fields of a request may select another API."""
        return bool(self.signatures)

    def dialect_for(self, fields: frozenset[str] = frozenset()) -> Dialect:
        """Return the dialect of a request with these fields."""
        if fields.isdisjoint(self.signatures) or "documents" in fields:
            return self.dialect
        return next(dialect for name, dialect in self.signatures.items() if name in fields)


_SHARED: dict[str, Dialect] = {
    "/rerank": NATIVE,
    "/v1/rerank": JINA,
    "/v2/rerank": V2,
    "/reranking": JINA,
    "/v1/reranking": JINA,
    "/v1/v1/rerank": V1,  # a Cohere client whose base URL ends in /v1
    "/v1/v2/rerank": V2,
    "/": NATIVE,  # TEI serves it, too
    "/invocations": NATIVE,  # SageMaker's path for a TEI container
    "/reranks": DASHSCOPE,
    "/v1/reranks": DASHSCOPE,
    "/inference": MOSEC,
}
_FURTHER_SIGNATURES: dict[str, dict[str, Dialect]] = {
    "/reranking": {"passages": NIM},
    "/v1/reranking": {"passages": NIM},
    "/": {"inputs": HUGGINGFACE},  # as Hugging Face's inference endpoints
    "/invocations": {"inputs": HUGGINGFACE},
    "/reranks": {"input": DASHSCOPE_NATIVE},
    "/v1/reranks": {"input": DASHSCOPE_NATIVE},
}
_OWN: dict[str, Dialect] = {
    "/score": VLLM_SCORE,
    "/v1/score": VLLM_SCORE,
    "/v1/ranking": NIM,
    "/v1/retrieval/nvidia/reranking": NIM,  # NVIDIA's own host; the body names the model
    "/predict": HUGGINGFACE,
    "/services/rerank/text-rerank/text-rerank": DASHSCOPE_NATIVE,  # behind /api/v1
    "/v1/models/rerank": ZEROENTROPY,
}
_PREFIXES: dict[str, dict[str, Dialect]] = {
    "/cohere": {"/v1/rerank": V1, "/v2/rerank": V2, "/v1/v1/rerank": V1, "/v1/v2/rerank": V2},
    "/dashscope": {
        "/reranks": DASHSCOPE,
        "/services/rerank/text-rerank/text-rerank": DASHSCOPE_NATIVE,
    },
    "/google": {"/rankingConfigs/default_ranking_config:rank": GOOGLE},
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
    "/nim": {"/ranking": NIM, "/v1/ranking": NIM, "/reranking": NIM},
    "/pinecone": {"/rerank": PINECONE},
    "/sglang": {"/rerank": SGLANG, "/v1/rerank": SGLANG},
    "/tei": {"/rerank": TEI, "/predict": HUGGINGFACE},
    "/together": {"/rerank": TOGETHER, "/v1/rerank": TOGETHER},
    "/vllm": {
        "/rerank": VLLM,
        "/v1/rerank": VLLM,
        "/v2/rerank": VLLM,
        "/score": VLLM_SCORE,
        "/v1/score": VLLM_SCORE,
    },
    "/voyage": {"/rerank": VOYAGE, "/v1/rerank": VOYAGE},
    "/weaviate": {"/rerank": WEAVIATE},
    "/zeroentropy": {"/models/rerank": ZEROENTROPY, "/v1/models/rerank": ZEROENTROPY},
}

PATHS: dict[str, RerankPath] = {
    **{
        path: RerankPath(dialect, FIELD_SIGNATURES | _FURTHER_SIGNATURES.get(path, {}))
        for path, dialect in _SHARED.items()
    },
    **{path: RerankPath(dialect) for path, dialect in _OWN.items()},
    **{
        prefix + path: RerankPath(dialect)
        for prefix, paths in _PREFIXES.items()
        for path, dialect in paths.items()
    },
}
"""Every path of a rerank request (POST)."""

VECTOR_PATHS: dict[str, RerankPath] = {
    **{
        path: RerankPath(OPENAI_EMBEDDINGS)
        for path in (
            *("/embeddings", "/v1/embeddings", "/tei/embeddings", "/tei/v1/embeddings"),
            *("/vllm/v1/embeddings", "/infinity/embeddings", "/infinity/v1/embeddings"),
        )
    },
    **{path: RerankPath(TEI_EMBED) for path in ("/embed", "/tei/embed")},
}
"""Every path of a request for vectors (POST)."""

ALL_PATHS = PATHS | VECTOR_PATHS
"""Every path of a request for scores or vectors (POST)."""

VENDORS = frozenset(_PREFIXES)
"""Prefixes of vendors; a path that begins with one has the reply of this vendor, or none."""

NAMED: dict[str, Mapping[str, RerankPath]] = {
    "/models/": ALL_PATHS,
    "/v1/retrieval/": {"/reranking": RerankPath(NIM)},
}
"""Folders of paths that name a model, as in `/models/NAME/rerank`, and the paths behind it."""

NO_NAME = "nvidia"
"""The name in `/v1/retrieval/nvidia/reranking`, which leaves the choice of a model to the body."""

DIALECTS: tuple[Dialect, ...] = (
    *{path.dialect.name: path.dialect for path in PATHS.values()}.values(),
    PAIRS,
)
"""All dialects of scores, each once."""

VECTOR_DIALECTS: tuple[Dialect, ...] = (OPENAI_EMBEDDINGS, TEI_EMBED)
"""All dialects of vectors."""
