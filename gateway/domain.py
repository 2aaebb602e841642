"""The shapes a request and its result have between the dialects and the shards.

Dialects are the only place that knows other people's field names; from there inward everything is
a `RerankRequest`, and outward a `RerankResult`. What is made for each request or document is a
struct of msgspec, made in a tenth of the time of a frozen dataclass, and nothing that the search for
garbage would have to look through.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from msgspec import Struct

Policy: TypeAlias = Literal["truncate", "passages", "error"]
"""What happens to a document that is too long: it is cut, read in passages, or refused."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as it matters to the others in line.

    Attributes:
        id: the id of its key; all who have none are one caller.
        weight: its share of a busy model, beside the weights of the others.
    """

    id: str = ""
    weight: float = 1.0


ANYONE = Caller()
"""Whoever asks without a key."""


class Document(Struct, frozen=True, gc=False):
    """One document: the text that is scored, and what the client sent to say it.

    Attributes:
        text: the text the model reads.
        fields: the client's object, kept for the reply; `None` when it sent a plain string.
    """

    text: str
    fields: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LongDocuments:
    """What a model does with documents that are longer than it can read at once.

    Attributes:
        policy: what is done.
        most_passages: the most passages of one document; 0 for all.
        passage_tokens: the most tokens of one passage; 0 for as many as fit beside the query.
        passage_overlap: how many tokens a passage has in common with the one before.
        pool_best: the document's margin is the mean of so many best passages; 0 for all.
    """

    policy: Policy = "truncate"
    most_passages: int = 0
    passage_tokens: int = 0
    passage_overlap: int = 64
    pool_best: int = 1


class RerankRequest(Struct, frozen=True, kw_only=True, gc=False):
    """One rerank call, whatever API it came by.

    Attributes:
        queries: one query for all documents, or exactly one per document (pair scoring).
        documents: at least one.
        model: the public model name; `None` for the default model.
        instruction: what relevance means here; `None` for the model's default.
        top_n: how many results are returned; `None` for all.
        return_documents: whether each result carries its document.
        max_tokens_per_doc: the most tokens of one document that are read; `None` for the model's.
        raw_scores: whether the reply shows margins instead of relevance scores.
        keys: the names of the fields that the client sent; some dialects answer by them.
        keep_end: whether a document that is too long loses its start instead of its end.
        long_documents: what happens to a document that is too long; `None` for the model's policy.
        may_cut: whether the client allows that it is cut, if the model's policy is to refuse it.
        most_passages: the most passages of one document; `None` for the model's number.
        return_details: whether each result says more than its score.
        documents_field: what the client calls its documents; errors name it.
    """

    queries: tuple[str, ...]
    documents: tuple[Document, ...]
    model: str | None = None
    instruction: str | None = None
    top_n: int | None = None
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    raw_scores: bool = False
    keys: frozenset[str] = frozenset()
    keep_end: bool = False
    long_documents: Policy | None = None
    may_cut: bool = False
    most_passages: int | None = None
    return_details: bool = False
    documents_field: str = "documents"

    def reading(self, model: LongDocuments) -> LongDocuments:
        """Return what happens to long documents, where the model does this unless told otherwise."""
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
"""The margin is taken for the log-odds that it was trained to be."""


class Scored(Struct, frozen=True, gc=False):
    """One document's score.

    Attributes:
        index: its place in the request.
        margin: the fp32 number before the sigmoid; order is decided by it.
        tokens: how many tokens the model read for it, prompts and all passages included.
        truncated: whether a part of the document was not read.
        passages: how many pairs it took.
        span: the characters of its best passage; `None` where nobody knows.
        calibration: what its margin means.
    """

    index: int
    margin: float
    tokens: int
    truncated: bool
    passages: int = 1
    span: tuple[int, int] | None = None
    calibration: Calibration = UNCALIBRATED

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
        warnings: what the client should know (truncation, default model used).
        saved_tokens: how many of the tokens read were not computed for this request, because its
            pairs share them or they were kept from before.
    """

    id: str
    model: str
    scored: tuple[Scored, ...]
    top: tuple[Scored, ...]
    processing_seconds: float
    created: int
    warnings: tuple[str, ...] = ()
    saved_tokens: int = 0

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


def rank(scored: tuple[Scored, ...], top_n: int | None) -> tuple[Scored, ...]:
    """Return the best `top_n` (all if `None`): by margin, ties by index."""
    order = sorted(scored, key=lambda one: (-one.margin, one.index))
    return tuple(order if top_n is None else order[:top_n])
