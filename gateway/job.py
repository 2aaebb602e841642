"""The part of a request that one shard scores. Pure."""

from collections.abc import Iterator, Sequence
from itertools import chain

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.domain import ANYONE, Caller, LongDocuments
from gateway.timeline import Timeline
from shards.wire.messages import Score, Scores

_TIMES_ENCODED = 3  # to see that it is too long; with offsets; and passage by passage


class Job(Struct, frozen=True, eq=False, gc=False):
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
        reading: what happens to it otherwise.
        caller: whose it is.
        timeline: where it is noted what it took.
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
    reading: LongDocuments = field(default_factory=LongDocuments)
    caller: Caller = ANYONE
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Query and document of each pair."""
        queries = self.queries * len(self.documents) if len(self.queries) == 1 else self.queries
        return zip(queries, self.documents, strict=True)

    @property
    def encoded_bytes(self) -> int:
        """How much text the shard's tokenizer gets to see for it."""
        is_read_again = self.reading.policy == "passages"
        return self.text_bytes * (_TIMES_ENCODED if is_read_again else 1)

    def bytes_read(self, passages: int) -> int:
        """Return the bytes of all its pairs if its documents were read in so many passages."""
        asked = len(self.queries[0].encode()) + len(self.instruction.encode())
        return self.text_bytes + (passages - len(self.documents)) * asked

    def message(self, job_id: int) -> Score:
        """Return it as the shard gets it."""
        reading = self.reading
        return Score(
            job=job_id,
            deadline_ns=self.deadline_ns,
            max_document_tokens=self.max_document_tokens,
            instruction=self.instruction,
            queries=self.queries,
            documents=self.documents,
            keep_end=self.keep_end,
            refuse_truncation=reading.policy == "error",
            in_passages=reading.policy == "passages",
            most_passages=reading.most_passages,
            passage_tokens=reading.passage_tokens,
            passage_overlap=reading.passage_overlap,
            pool_best=reading.pool_best,
        )

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
        passages=tuple(chain.from_iterable(answer.passages for answer in answers)),
        starts=tuple(chain.from_iterable(answer.starts for answer in answers)),
        ends=tuple(chain.from_iterable(answer.ends for answer in answers)),
        computed_tokens=sum(answer.computed_tokens for answer in answers),
        saved_tokens=sum(answer.saved_tokens for answer in answers),
        queue_ns=sum(answer.queue_ns for answer in answers),
        compute_ns=sum(answer.compute_ns for answer in answers),
        encode_ns=sum(answer.encode_ns for answer in answers),
    )
