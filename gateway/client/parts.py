"""Parts of a very large list: one request each, and one reply merged from theirs.

A model's score depends on its own query and document only, so the replies to parts can be merged
into the reply of one request. Margins decide the order, even where relevance scores round to the
same number, so each part is requested with details. A cascade, a fallback and an answer in part
depend on the whole list: their replies are not merged.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.client.errors import InvalidRequest, ServerFault, Unavailable
from gateway.client.wire import Reply, Scored

_IN_ONE = "in one request (part_documents), or fewer documents"


def split(sizes: Sequence[int], *, documents: int, size: int) -> list[range]:
    """Divide documents into consecutive runs, each as long as the limits permit.

    Args:
        sizes: size of each document, in bytes.
        documents: maximum number of documents in a part, at least 1.
        size: maximum size of a part, in bytes; a larger document is a part of its own.

    Returns:
        The parts; one empty part for no documents.
    """
    parts: list[range] = []
    start, filled = 0, 0
    for index, document_size in enumerate(sizes):
        is_full = index - start >= documents or filled + document_size > size
        if index > start and is_full:
            parts.append(range(start, index))
            start, filled = index, 0
        filled += document_size
    return [*parts, range(start, len(sizes))]


def merge(parts: Sequence[range], replies: Sequence[Reply]) -> Reply:
    """Return the reply that one request would have had.

    Raises:
        InvalidRequest: the documents were ranked by a cascade, or some by no model.
        Unavailable: different models have scored the parts.
        ServerFault: a reply has no details.
    """
    ranked = [
        (_margin(scored), replace(scored, index=part[scored.index]))
        for part, reply in zip(parts, replies, strict=True)
        for scored in reply.scored
    ]
    if len(models := {reply.model for reply in replies}) > 1:
        raise Unavailable(
            f"{' and '.join(sorted(models))} have scored parts of this list, and their scores do "
            f"not compare: send it again, {_IN_ONE}"
        )
    ranked.sort(key=lambda each: (-each[0], each[1].index))
    return Reply(
        scored=tuple(scored for _, scored in ranked),
        model=replies[0].model,
        tokens=sum(reply.tokens for reply in replies),
        request_ids=tuple(id for reply in replies for id in reply.request_ids),
        warnings=tuple(warning for reply in replies for warning in reply.warnings),
    )


def without_details(reply: Reply) -> Reply:
    """Return a reply without the details of its documents."""
    return replace(reply, scored=tuple(replace(each, details=None) for each in reply.scored))


def _margin(scored: Scored) -> float:
    if scored.details is None:
        raise ServerFault("the response has no details, so the parts of a long list have no order")
    if scored.details.stage:
        raise InvalidRequest(
            "parts of a list have no common order where a cascade ranks them, or where some "
            f"documents have no score: send the list {_IN_ONE}"
        )
    return scored.details.margin
