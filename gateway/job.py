"""The part of a request that one shard scores. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from shards.wire.messages import Scores


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """The part of a request that one shard scores.

    Attributes:
        queries: one for all documents, or one per document.
        tokens: the estimated cost.
        text_bytes: the UTF-8 bytes of all its pairs, the query counted once a pair.
        wire_bytes: an upper bound of its size as a message.
        is_small: whether the whole request is small.
        is_solo: whether it is a suspect, see `gateway.quarantine`: alone in its shard.
        deadline_ns: CLOCK_MONOTONIC.
        max_document_tokens: 0 for the model's limit.
        keep_end: whether a document that is too long loses its start instead of its end.
        refuse_truncation: whether it fails the job instead.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    instruction: str
    max_document_tokens: int
    tokens: int
    text_bytes: int
    wire_bytes: int
    is_small: bool
    deadline_ns: int
    is_solo: bool = False
    keep_end: bool = False
    refuse_truncation: bool = False

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Query and document of each pair."""
        queries = self.queries * len(self.documents) if len(self.queries) == 1 else self.queries
        return zip(queries, self.documents, strict=True)

    def one_by_one(self) -> Iterator["Job"]:
        """Yield its pairs as jobs of their own, to be scored alone; each as dear as the whole."""
        for query, document in self.pairs:
            yield replace(
                self,
                queries=(query,),
                documents=(document,),
                text_bytes=len(query.encode()) + len(document.encode()),
                is_solo=True,
            )


def merged(answers: Sequence[Scores]) -> Scores:
    """Put the answers to the pairs of a job together again."""
    return Scores(
        job=answers[0].job,
        margins=tuple(chain.from_iterable(answer.margins for answer in answers)),
        tokens=tuple(chain.from_iterable(answer.tokens for answer in answers)),
        truncated=tuple(place for place, answer in enumerate(answers) if answer.truncated),
        computed_tokens=sum(answer.computed_tokens for answer in answers),
        queue_ns=sum(answer.queue_ns for answer in answers),
        compute_ns=sum(answer.compute_ns for answer in answers),
    )
