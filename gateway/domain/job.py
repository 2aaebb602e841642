"""The part of a request that one shard scores. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from msgspec import Struct, field, structs

from gateway.domain.request import ANONYMOUS, Caller
from gateway.domain.timeline import Timeline
from shards.wire.messages import Score, Scores

_TIMES_TOKENIZED = 3  # to see that it is too long; with offsets; and passage by passage


class Job(Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """The part of a request that one shard scores.

    Attributes:
        payload: its message to the shard; the replica that sends it sets the id.
        indices: the places of the documents in the request.
        tokens: the estimated cost.
        text_bytes: the UTF-8 bytes of all its pairs, the query counted once a pair.
        wire_bytes: an upper bound of the size of the message.
        is_small: whether the whole request is small.
        is_isolated: whether it is a suspect, which a shard scores with nothing beside it; see
            `gateway.scheduling.quarantine`.
        caller: the caller that pays for it.
        timeline: the record of the times of the request's jobs.
    """

    payload: Score
    tokens: int
    text_bytes: int
    wire_bytes: int
    is_small: bool
    indices: Sequence[int] = ()
    is_isolated: bool = False
    caller: Caller = ANONYMOUS
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Query and document of each pair."""
        queries, documents = self.payload.queries, self.payload.documents
        return zip(
            queries * len(documents) if len(queries) == 1 else queries, documents, strict=True
        )

    @property
    def tokenized_bytes(self) -> int:
        """The bytes of text that the shard's tokenizer reads for it."""
        return self.text_bytes * (_TIMES_TOKENIZED if self.payload.in_passages else 1)

    def bytes_read(self, passages: int) -> int:
        """Return the bytes of all its pairs if its documents were read in so many passages."""
        query = self.payload.queries[0]
        instruction = max(self.payload.instructions or (self.payload.instruction,), key=len)
        asked = len(query.encode()) + len(instruction.encode())
        return self.text_bytes + (passages - len(self.payload.documents)) * asked

    def one_by_one(self) -> Iterator["Job"]:
        """Yield a job for each pair, to be scored in isolation; each costs as much as the whole."""
        own = self.payload.instructions
        for at, (query, document) in enumerate(self.pairs):
            yield structs.replace(
                self,
                payload=replace(
                    self.payload,
                    queries=(query,),
                    documents=(document,),
                    instructions=own[at : at + 1],
                ),
                text_bytes=len(query.encode()) + len(document.encode()),
                is_isolated=True,
            )


def merged(answers: Sequence[Scores]) -> Scores:
    """Return the answers to the pairs of a job as the answer to the job."""
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
        tokenize_ns=sum(answer.tokenize_ns for answer in answers),
        vectors=b"".join(answer.vectors for answer in answers),
    )
