"""A request and its result, between the dialects and the shards.

Only dialects have the field names of other APIs; from there inward everything is a `RerankRequest`,
and outward a `RerankResult`. The values of each request or document are msgspec structs: they are
made in a tenth of the time of a frozen dataclass, and the garbage collector does not traverse them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from msgspec import Struct, field, structs

Policy: TypeAlias = Literal["truncate", "passages", "error"]
"""The policy for a document that is too long: it is cut, read in passages, or refused."""

Source: TypeAlias = Literal["computed", "duplicate", "joined", "memory", "disk", "shared"]
"""The origin of a score: computed for this document, for its like in the same request, for another
request at the same time, or before and kept since: in memory, on disk, or for several gateways."""

SOURCES: tuple[Source, ...] = get_args(Source)
"""All origins of a score."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The payer of a request, as the queue of a model distinguishes callers.

    Attributes:
        id: the id of its key; all requests without a key have one caller.
        weight: its share of a busy model, beside the weights of the others.
    """

    id: str = ""
    weight: float = 1.0


ANONYMOUS = Caller()
"""The caller of all requests without a key."""


class Document(Struct, frozen=True, gc=False):
    """One document.

    Attributes:
        text: the text that is scored.
        fields: the client's object, kept for the reply; `None` for a plain string.
    """

    text: str
    fields: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LongDocuments:
    """The treatment of documents that are longer than the model can read at once.

    Attributes:
        policy: cut, read in passages, or refuse.
        most_passages: the most passages of one document; 0 for all.
        passage_tokens: the most tokens of one passage; 0 for as many as fit beside the query.
        passage_overlap: the number of tokens that a passage has in common with the one before.
        pool_best: the document's margin is the mean of so many best passages; 0 for all.
    """

    policy: Policy = "truncate"
    most_passages: int = 0
    passage_tokens: int = 0
    passage_overlap: int = 64
    pool_best: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The vectors that a request asks for, in place of scores.

    Attributes:
        side: the prompt before its texts, `query`, `document` or `text` for the default one.
        dimensions: the numbers of a vector that are kept; 0 for all.
        is_unit: whether vectors have length 1.
        is_base64: whether the reply has their bytes in base64.
    """

    side: str = "text"
    dimensions: int = 0
    is_unit: bool = True
    is_base64: bool = False


class RerankRequest(Struct, frozen=True, kw_only=True, gc=False):
    """One rerank request of any API.

    Attributes:
        queries: one query for all documents, or exactly one per document (pair scoring).
        documents: at least one.
        model: the public model name; `None` for the default model.
        instruction: the meaning of relevance; `None` for the model's default.
        instructions: one per document where pairs have their own; empty for `instruction` of a
            pair without one. A model that has no place for it refuses the request.
        top_n: the number of results that are returned; `None` for all.
        return_documents: whether each result carries its document.
        max_tokens_per_doc: the most tokens of one document that are read; `None` for the model's.
        raw_scores: whether the reply shows margins instead of relevance scores.
        fields_set: the names of the fields that the client sent; some dialects answer by them.
        keep_end: whether a document that is too long loses its start instead of its end.
        long_documents: the policy for a document that is too long; `None` for the model's policy.
        may_cut: whether the client allows that it is cut, if the model's policy is to refuse it.
        most_passages: the most passages of one document; `None` for the model's number.
        return_details: whether each result has more than its score.
        documents_field: the client's name for its documents, which errors repeat.
        queries_field: the client's name for its queries or pairs, likewise.
        warnings: warnings of the dialect, for the reply.
        max_tokens_per_pair: the most tokens of query, prompt and document together; `None` for the
            model's limit.
        max_tokens_per_query: the most tokens of a query that are read; `None` for all.
        places: the places of its documents in the client's request, which errors name; empty for
            the client's request itself.
        encoding: the vectors that are asked for, of each document alone; the only query is then
            empty. `None` for a request for scores.
    """

    queries: tuple[str, ...]
    documents: tuple[Document, ...]
    model: str | None = None
    instruction: str | None = None
    instructions: tuple[str, ...] = ()
    top_n: int | None = None
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    raw_scores: bool = False
    fields_set: frozenset[str] = frozenset()
    keep_end: bool = False
    long_documents: Policy | None = None
    may_cut: bool = False
    most_passages: int | None = None
    return_details: bool = False
    documents_field: str = "documents"
    queries_field: str = "query"
    warnings: tuple[str, ...] = ()
    max_tokens_per_pair: int | None = None
    max_tokens_per_query: int | None = None
    places: tuple[int, ...] = ()
    encoding: Encoding | None = None

    def place(self, index: int) -> int:
        """Return the place of a document in the client's request."""
        return self.places[index] if self.places else index

    def instruction_of(self, index: int) -> str:
        """Return the instruction of a document's pair; empty for the model's default."""
        own = self.instructions[index] if self.instructions else ""
        return own or self.instruction or ""

    def only(self, indices: Sequence[int]) -> "RerankRequest":
        """Return the request with these documents alone, in this order."""
        queries, own = self.queries, self.instructions
        return structs.replace(
            self,
            documents=tuple([self.documents[index] for index in indices]),
            queries=queries if len(queries) == 1 else tuple([queries[i] for i in indices]),
            instructions=tuple([own[index] for index in indices]) if own else (),
            places=tuple(map(self.place, indices)),
        )

    def reading(self, model: LongDocuments) -> LongDocuments:
        """Return the treatment of long documents, given the default of the model."""
        policy = self.long_documents or model.policy
        if policy == "error" and self.may_cut and not self.long_documents:
            policy = "truncate"
        most = self.most_passages or model.most_passages
        if (policy, most) == (model.policy, model.most_passages):
            return model
        return replace(model, policy=policy, most_passages=most)


@dataclass(frozen=True, slots=True)
class Calibration:
    """From margins to relevance scores: sigmoid(slope * margin + intercept).

    The slope is positive, so that the order by margin is the order by score.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def score(self, margin: float) -> float:
        """Return the relevance score of a margin, in [0, 1]."""
        return sigmoid(self.slope * margin + self.intercept)


UNCALIBRATED = Calibration()
"""The margin counts as the log-odds that it was trained to be."""


class Scored(Struct, frozen=True, gc=False):
    """One document's score.

    Attributes:
        index: its place in the request.
        margin: the fp32 number before the sigmoid, which decides the order.
        tokens: the tokens that the model read for it, prompts and all passages included.
        truncated: whether a part of the document was not read.
        passages: the number of its pairs.
        span: the characters of its best passage; `None` where they are unknown.
        calibration: turns its margin into its score.
        source: where its margin comes from.
        stage: the model of a cascade that scored it last, or `input-order` for a document that no
            model scored; empty without a cascade.
    """

    index: int
    margin: float
    tokens: int
    truncated: bool
    passages: int = 1
    span: tuple[int, int] | None = None
    calibration: Calibration = UNCALIBRATED
    source: Source = "computed"
    stage: str = ""

    @property
    def relevance_score(self) -> float:
        """The margin as a probability, in [0, 1]."""
        return self.calibration.score(self.margin)


class RerankResult(Struct, frozen=True, kw_only=True, gc=False):
    """The answer to one `RerankRequest`.

    Attributes:
        id: the request id.
        model: the public name of the model that scored.
        scored: every document, in input order.
        top: best first, ties by index, cut to `top_n`.
        processing_seconds: from acceptance to the last score.
        created: seconds since the Unix epoch.
        warnings: warnings for the client (truncation, default model used).
        saved_tokens: the tokens read that were not computed for this request, because its pairs
            share them or they were kept from before.
        degraded: `MODEL=FALLBACK` for each model whose fallback answered.
        sources: the number of documents by the origin of their score; empty for a request that
            makes no use of the score cache.
        vectors: of a request for vectors that of each text, in input order: fp32, little-endian.
    """

    id: str
    model: str
    scored: tuple[Scored, ...]
    top: tuple[Scored, ...]
    processing_seconds: float
    created: int
    warnings: tuple[str, ...] = ()
    saved_tokens: int = 0
    degraded: tuple[str, ...] = ()
    sources: Mapping[Source, int] = field(default_factory=dict)
    vectors: tuple[bytes, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens read for the whole request."""
        return sum(scored.tokens for scored in self.scored)

    @property
    def search_units(self) -> int:
        """Cohere's billing unit: one query with up to 100 documents, or passages of documents."""
        return math.ceil(sum(scored.passages for scored in self.scored) / 100)


def sigmoid(margin: float) -> float:
    """Return 1 / (1 + e^-margin) without overflow, in double precision: no ties before 1e-16."""
    if margin >= 0:
        return 1.0 / (1.0 + math.exp(-margin))
    power = math.exp(margin)
    return power / (1.0 + power)
