"""Very large lists: in which requests they go, and how the answers become one again.

A score depends on its own query and document only, so the answers to parts can be merged, and the
result is what one request would have given. The parts are asked for margins instead of relevance
scores: margins decide the order even where their sigmoids round to the same number.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.client.wire import Reply
from gateway.domain import sigmoid


def split(sizes: Sequence[int], *, documents: int, size: int) -> list[range]:
    """Return which documents go together: runs in order, each as long as the limits let it be.

    Args:
        sizes: the bytes of each document.
        documents: the most documents of a part, at least 1.
        size: the most bytes of a part; a document that is larger goes alone.

    Returns:
        The parts; one empty part for no documents.
    """
    parts: list[range] = []
    start, filled = 0, 0
    for index, one in enumerate(sizes):
        if index > start and (index - start >= documents or filled + one > size):
            parts.append(range(start, index))
            start, filled = index, 0
        filled += one
    return [*parts, range(start, len(sizes))]


def merge(parts: Sequence[range], replies: Sequence[Reply]) -> Reply:
    """Return one reply for all parts, whose scores are margins, as one request would have got."""
    margins = [
        replace(one, index=part[one.index])
        for part, reply in zip(parts, replies, strict=True)
        for one in reply.scored
    ]
    margins.sort(key=lambda one: (-one.relevance_score, one.index))
    return Reply(
        scored=tuple(replace(one, relevance_score=sigmoid(one.relevance_score)) for one in margins),
        model=replies[0].model,
        tokens=sum(reply.tokens for reply in replies),
        request_ids=tuple(id for reply in replies for id in reply.request_ids),
        warnings=tuple(warning for reply in replies for warning in reply.warnings),
    )
