"""The warnings of a result: no decision that was made for the client stays silent. Pure.

They name truncated documents, ties, the model that scored when the request named none or an alias,
the doubts of the shard about the model (an activation that was guessed, labels without a meaning),
an instruction that the model has no place for, a prompt that the client wrote already, and a
calibration that was made for other weights. A missing template is not among them: without one
a model is refused when it is loaded.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gateway.config import ModelSpec
from gateway.domain.file_names import without_files
from gateway.domain.request import RerankRequest, Scored
from gateway.serving.pair_instructions import ignores_instructions
from shards.wire.facts import Facts

DEGRADED = "degraded: "
"""The start of each warning about a result that its model did not score as a whole."""

_CONFINED = (
    "several documents of this API key have ended shards: for a while each of its documents is "
    "scored alone, which takes longer"
)


def warnings_of(
    request: RerankRequest,
    scored: Sequence[Scored],
    spec: ModelSpec,
    facts: Facts | None,
    tied: int,
    note: str = "",
    is_confined: bool = False,
) -> tuple[str, ...]:
    """Return the warnings of a result.

    Args:
        request: the request.
        scored: its scores.
        spec: the model that scored.
        facts: the properties of the loaded model.
        tied: the number of tied documents, see `ties`.
        note: the reason why a split chose this model, which replaces that of names.
        is_confined: whether the pairs of its caller are scored in isolation, see `quarantine`.
    """
    return (
        *([note] if note else _which_model(request, spec)),
        *_truncated(request, scored, spec, facts),
        *_queries(request),
        *_instructed(request, spec, facts),
        *_wrapped(request, facts),
        *_ties(scored, tied),
        *(() if request.encoding else _stale(spec, facts)),
        *([_CONFINED] if is_confined else ()),
        *request.warnings,
        *_doubts(spec, facts),
    )


def _doubts(spec: ModelSpec, facts: Facts | None) -> Iterator[str]:
    for doubt in facts.doubts if facts else ():
        yield f"model {spec.name!r}: {without_files(doubt)}"


def limit(request: RerankRequest, facts: Facts | None) -> str:
    """Return the limit of a document, in words."""
    limits = []
    if request.max_tokens_per_doc:
        limits.append(f"max_tokens_per_doc {request.max_tokens_per_doc}")
    if request.max_tokens_per_pair:
        limits.append(f"truncate_prompt_tokens {request.max_tokens_per_pair}")
    each = "text" if facts and facts.engine in {"embedder", "late"} else "pair"
    models = f"{facts.max_length} tokens a {each}" if facts else "the model's"
    return " and ".join(limits) or models


def _queries(request: RerankRequest) -> Iterator[str]:
    most = request.max_tokens_per_query
    # A query of no more bytes than that is never cut, since a token has a byte at least.
    if most and any(len(query.encode()) > most for query in request.queries):
        yield f"at most {most} tokens of a query were read (max_tokens_per_query)"


def _instructed(request: RerankRequest, spec: ModelSpec, facts: Facts | None) -> Iterator[str]:
    if request.instruction and ignores_instructions(facts):
        yield f"model {spec.name!r} has no place for an instruction: it was not used"


def _wrapped(request: RerankRequest, facts: Facts | None) -> Iterator[str]:
    """Warn of texts that hold the model's prompt already: it is put around them once more."""
    markers = facts.markers if facts else ()
    if not any(_holds(query, markers) for query in request.queries):
        return
    if any(_holds(document.text, markers) for document in request.documents):
        yield (
            "query and documents hold pieces of the model's own prompt, which the server puts "
            "around them: send the texts alone"
        )


def _holds(text: str, markers: Sequence[str]) -> bool:
    return any(marker in text for marker in markers)


def _which_model(request: RerankRequest, spec: ModelSpec) -> Iterator[str]:
    if request.model is None and not spec.alone:
        yield f"no model was named: the default one, {spec.name!r}, scored"
    elif request.model is not None and request.model != spec.name:
        yield f"{request.model!r} is an alias here: {spec.name!r} scored"


def _truncated(
    request: RerankRequest, scored: Sequence[Scored], spec: ModelSpec, facts: Facts | None
) -> Iterator[str]:
    cut = sum(document.truncated for document in scored)
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


def _stale(spec: ModelSpec, facts: Facts | None) -> Iterator[str]:
    entry = spec.calibration
    if entry and facts and entry.is_stale(facts.fingerprint):
        yield (
            f"model {spec.name!r}: its calibration of {entry.made} was made for other weights: the "
            "order is right, relevance scores may not be; `gateway calibrate` makes a new one"
        )


def late_warning(late: int, documents: int) -> Iterator[str]:
    """Yield the warning about documents that had no score at the deadline."""
    if late:
        yield (
            f"{DEGRADED}{late} of {documents} documents had no score at the deadline: they follow "
            "in their order"
        )


def ties(request: RerankRequest, scored: Sequence[Scored]) -> int:
    """Count the documents with the margin of another pair, of another text or query."""
    ordered = sorted(scored, key=lambda document: document.margin)
    tied: set[int] = set()
    for first, second in pairwise(ordered):
        if first.margin == second.margin and _pair(request, first) != _pair(request, second):
            tied |= {first.index, second.index}
    return len(tied)


def _pair(request: RerankRequest, scored: Scored) -> tuple[str, str]:
    query = request.queries[scored.index if len(request.queries) > 1 else 0]
    return query, request.documents[scored.index].text
