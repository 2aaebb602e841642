"""What a client is told beside its scores: nothing that was decided for it stays silent. Pure.

Truncated documents, ties, which model scored when the request named none or an alias, and what the
shard doubts about the model: an activation that was guessed, labels that do not say which is which;
a calibration that was made for other weights.
A missing template is not among them: without one a model is refused when it is loaded.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gateway.config import ModelSpec
from gateway.domain import RerankRequest, Scored
from shards.wire.messages import Ready

_CONFINED = (
    "several documents of this API key have ended shards: for a while each of its documents is "
    "scored alone, which takes longer"
)


def notes(
    request: RerankRequest,
    scored: Sequence[Scored],
    spec: ModelSpec,
    facts: Ready | None,
    tied: int,
    note: str = "",
    is_confined: bool = False,
) -> tuple[str, ...]:
    """Return the warnings of a reply in which so many documents are tied, see `ties`.

    `note` says which model scored, where a split has chosen it; `is_confined` that the key is, see
    `confinement`.
    """
    return (
        *([note] if note else _which_model(request, spec)),
        *_truncated(request, scored, spec, facts),
        *_ties(scored, tied),
        *_stale(spec, facts),
        *([_CONFINED] if is_confined else ()),
        *(f"model {spec.name!r}: {doubt}" for doubt in (facts.doubts if facts else ())),
    )


def limit(request: RerankRequest, facts: Ready | None) -> str:
    """Say what a document may have."""
    if request.max_tokens_per_doc:
        return f"max_tokens_per_doc {request.max_tokens_per_doc}"
    return f"{facts.max_length} tokens a pair" if facts else "the model's"


def _which_model(request: RerankRequest, spec: ModelSpec) -> Iterator[str]:
    if request.model is None and not spec.alone:
        yield f"no model was named: the default one, {spec.name!r}, scored"
    elif request.model is not None and request.model != spec.name:
        yield f"{request.model!r} is an alias here: {spec.name!r} scored"


def _truncated(
    request: RerankRequest, scored: Sequence[Scored], spec: ModelSpec, facts: Ready | None
) -> Iterator[str]:
    cut = sum(one.truncated for one in scored)
    if not cut:
        return
    reading = request.reading(spec.long_documents)
    reason = limit(request, facts)
    if reading.policy == "passages":
        most = f"{reading.most_passages} passages" if reading.most_passages else ""
        tokens = f"max_tokens_per_doc {request.max_tokens_per_doc}"
        reason = " and ".join(filter(None, (most, tokens * bool(request.max_tokens_per_doc))))
    yield f"{cut} of {len(scored)} documents were truncated ({reason})"


def _ties(scored: Sequence[Scored], tied: int) -> Iterator[str]:
    if tied:
        yield (
            f"{tied} of {len(scored)} documents have the very score of another one: their order "
            "is that of the request"
        )


def _stale(spec: ModelSpec, facts: Ready | None) -> Iterator[str]:
    entry = spec.calibration
    if entry and facts and entry.is_stale(facts.weights):
        yield (
            f"model {spec.name!r}: its calibration of {entry.made} was made for other weights: the "
            "order is right, relevance scores may not be; `gateway calibrate` makes a new one"
        )


def ties(request: RerankRequest, scored: Sequence[Scored]) -> int:
    """Count the documents whose margin is that of another pair, of another text or query."""
    ordered = sorted(scored, key=lambda one: one.margin)
    tied: set[int] = set()
    for one, other in pairwise(ordered):
        if one.margin == other.margin and _pair(request, one) != _pair(request, other):
            tied |= {one.index, other.index}
    return len(tied)


def _pair(request: RerankRequest, one: Scored) -> tuple[str, str]:
    query = request.queries[one.index if len(request.queries) > 1 else 0]
    return query, request.documents[one.index].text
