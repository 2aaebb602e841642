"""Parts of a very large list: one request each, and one reply merged from theirs.

A score depends on its own query and document only, so the replies to parts can be merged into the
reply of one request. Parts request margins instead of relevance scores: margins decide the order
even where their sigmoids round to the same number.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.client.wire import Reply
from gateway.domain.request import sigmoid


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
    """Return the reply that one request would have had. The scores of the parts are margins."""
    margins = [
        replace(scored, index=part[scored.index])
        for part, reply in zip(parts, replies, strict=True)
        for scored in reply.scored
    ]
    margins.sort(key=lambda scored: (-scored.relevance_score, scored.index))
    return Reply(
        scored=tuple(
            replace(scored, relevance_score=sigmoid(scored.relevance_score)) for scored in margins
        ),
        model=replies[0].model,
        tokens=sum(reply.tokens for reply in replies),
        request_ids=tuple(id for reply in replies for id in reply.request_ids),
        warnings=tuple(warning for reply in replies for warning in reply.warnings),
    )
