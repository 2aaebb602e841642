"""The texts of a request as its model is to read them: cleaned, where its configuration says so.

Jobs, keys of the score cache and quarantine know the cleaned texts alone. The reply has the
client's own: documents come back as they were sent, and spans count their characters.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from gateway.config import ModelSpec
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import RerankRequest, Scored
from gateway.domain.text_cleaning import Cleaner, cleaned, source_span
from shards.wire.messages import MAX_JOB_BYTES

_CLEANED_AT_ONCE = 16_384  # characters; more are cleaned in a thread

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CleanedRequest:
    """A request, before and after its texts were cleaned.

    Attributes:
        sent: the request as it came.
        read: the request that is scored.
        cleaners: the names of the cleaners of its model.
        queries: the number of queries that changed.
        documents: the indices of the documents that changed.
    """

    sent: RerankRequest
    read: RerankRequest
    cleaners: tuple[Cleaner, ...] = ()
    queries: int = 0
    documents: frozenset[int] = frozenset()

    @property
    def texts(self) -> int:
        """The number of texts that changed."""
        return self.queries + len(self.documents)

    def warnings(self) -> Iterator[str]:
        """Yield what was cleaned, for the reply."""
        if self.texts:
            counts = {"documents": len(self.documents), "queries": self.queries}
            of = {"documents": len(self.sent.documents), "queries": len(self.sent.queries)}
            words = [f"{count} of {of[what]} {what}" for what, count in counts.items() if count]
            yield f"{' and '.join(words)} were cleaned before scoring ({', '.join(self.cleaners)})"

    async def spans_as_sent(self, scored: Sequence[Scored]) -> tuple[Scored, ...]:
        """Return scores whose spans count characters of the documents as they were sent."""
        if not self.sent.return_details:
            return tuple(scored)
        moved = [one for one in scored if one.span and one.index in self.documents]
        characters = sum(len(self.sent.documents[one.index].text) for one in moved)
        found = await _apart(characters, lambda: {one.index: self._span(one) for one in moved})
        return tuple(replace(one, span=found.get(one.index, one.span)) for one in scored)

    def _span(self, scored: Scored) -> tuple[int, int]:
        assert scored.span is not None
        return source_span(self.sent.documents[scored.index].text, self.cleaners, scored.span)


async def clean(request: RerankRequest, model: ModelSpec) -> CleanedRequest:
    """Clean the texts of a request as its model is configured.

    Raises:
        InvalidRequest: a pair has become too large.
    """
    if not model.clean_text:
        return CleanedRequest(request, request)
    characters = sum(map(len, request.queries))
    characters += sum(len(document.text) for document in request.documents)
    return await _apart(characters, partial(_cleaned, request, model.clean_text))


async def _apart(characters: int, work: Callable[[], T]) -> T:
    """Do some work on so many characters; in a thread if they are many."""
    return await asyncio.to_thread(work) if characters > _CLEANED_AT_ONCE else work()


def _cleaned(request: RerankRequest, cleaners: tuple[Cleaner, ...]) -> CleanedRequest:
    texts = [cleaned(document.text, cleaners) for document in request.documents]
    changed = frozenset(
        index for index, document in enumerate(request.documents) if document.text != texts[index]
    )
    documents = tuple(
        replace(document, text=texts[index]) if index in changed else document
        for index, document in enumerate(request.documents)
    )
    queries = tuple(cleaned(query, cleaners) for query in request.queries)
    read = replace(request, queries=queries, documents=documents)
    _refuse_growth(read)
    return CleanedRequest(
        sent=request,
        read=read,
        cleaners=cleaners,
        queries=sum(old != new for old, new in zip(request.queries, queries, strict=True)),
        documents=changed,
    )


def _refuse_growth(request: RerankRequest) -> None:
    """Refuse a pair that has become too large: `nfkc` writes some characters as eighteen."""
    for index, document in enumerate(request.documents):
        query = request.queries[index if len(request.queries) > 1 else 0]
        pair = (document.text, query, request.instruction_of(index))
        if sum(map(len, pair)) * 4 > MAX_JOB_BYTES:  # a character has four bytes at most
            size = sum(len(text.encode()) for text in pair)
            if size > MAX_JOB_BYTES:
                name = f"{request.documents_field}[{request.place(index)}]"
                raise InvalidRequest(
                    f"{name} and its query take {size} bytes after they were cleaned, more than "
                    f"the {MAX_JOB_BYTES} that travel to a shard in one piece: send less text",
                    param=name,
                )
