"""What a shard does beside its device: read frames, and turn texts into encoded pairs.

Two threads. One reads the control socket and encodes the jobs of usual size itself, in order, so that
none waits for another thread to wake. Those with much text, which take a tokenizer up to seconds, go to
the other. So a document of a megabyte holds up its like, and nobody else: a tokenizer lets the
interpreter go while it works, and small jobs are encoded and scored beside it.

Between two slices of a job an encoder looks whether it is still wanted. Only a single document is one
call, however long it is: there is no place in a text at which every tokenizer could be stopped and
would have said the same of what lies before it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from shards.desk import Desk
from shards.documents import EncodedDocument, encoded_slices
from shards.engines.base import Encoder
from shards.jobs import Job
from shards.pairs import QueryTooLong
from shards.wire.arena import ENCODER, LONG_TEXT_ENCODER
from shards.wire.codecs import WireError
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import (
    DOCUMENT_TOO_LONG,
    ENGINE_ERROR,
    Cancel,
    Message,
    Score,
    Stop,
)
from shards.wire.pipe import PipeClosed, ShardEnd

_logger = logging.getLogger(__name__)

_USUAL_CHARACTERS = 32_768  # some 20 ms of any tokenizer
_USUAL_CHARACTERS_A_TOKEN = 8  # of the token budget: a job has a batch at most, see the gateway


class Intake:
    """The threads between the control socket and the desk."""

    def __init__(self, pipe: ShardEnd, encoder: Encoder, desk: Desk, *, token_budget: int) -> None:
        self._pipe = pipe
        self._encoder = encoder
        self._desk = desk
        self._usual = max(_USUAL_CHARACTERS, _USUAL_CHARACTERS_A_TOKEN * token_budget)

    def start(self) -> None:
        """Begin; the threads end when no more jobs will come."""
        for name, run in (("intake", self._read), ("long texts", self._encode_long_ones)):
            threading.Thread(target=_or_end, args=(run,), name=name, daemon=True).start()

    def _read(self) -> None:
        while not self._desk.is_stopping:
            self._receive(self._pipe.receive())

    def _receive(self, message: Message) -> None:
        if isinstance(message, Score):
            self._accept(message)
        elif isinstance(message, Cancel):
            self._desk.cancel(message.job)
        elif isinstance(message, Stop):
            self._desk.stop()

    def _accept(self, score: Score) -> None:
        job = Job(
            score.job,
            score.deadline_ns,
            time.monotonic_ns(),
            pool_best=score.pool_best,
            in_passages=score.in_passages,
        )
        if sum(map(len, (*score.queries, *score.documents))) > self._usual:
            self._desk.open_in_line(job, score)
        else:
            self._desk.open(job)
            self._encode(job, score, ENCODER)

    def _encode_long_ones(self) -> None:
        while waiting := self._desk.next_in_line():
            self._encode(*waiting, LONG_TEXT_ENCODER)

    def _encode(self, job: Job, score: Score, encoder: int) -> None:
        """Encode a job and have its pairs scored, with a note in the arena of who is at it."""
        self._pipe.arena.encoding(job.id, encoder)
        started_ns = time.monotonic_ns()
        try:
            documents = self._documents(job, score)
        except QueryTooLong as error:
            self._desk.fail(job.id, "query_too_long", str(error))
        except Exception as error:
            _logger.exception("a job could not be encoded")
            self._desk.fail(job.id, ENGINE_ERROR, f"encoding failed: {type(error).__name__}")
        else:
            job.encode_ns = time.monotonic_ns() - started_ns
            self._admit(job, documents, score)
        self._pipe.arena.encoding(0, encoder)
        self._desk.encoded(job)

    def _documents(self, job: Job, score: Score) -> list[EncodedDocument]:
        """Return the documents of a job, encoded; those so far if nobody waits for it any more."""
        documents: list[EncodedDocument] = []
        for some in encoded_slices(self._encoder, score):
            documents += some
            if not self._desk.is_wanted(job, time.monotonic_ns()):
                break
        return documents

    def _admit(self, job: Job, documents: Sequence[EncodedDocument], score: Score) -> None:
        """Let the job's pairs wait to be scored, unless one of them was cut that must not be."""
        cut = next((at for at, document in enumerate(documents) if document.truncated), None)
        if score.refuse_truncation and cut is not None:
            self._desk.fail(job.id, DOCUMENT_TOO_LONG, f"document {cut} is too long", cut)
        else:
            self._desk.admit(job, documents)


def _or_end(run: Callable[[], None]) -> None:
    """Run a thread of the intake; a shard without it must not live on."""
    try:
        run()
    except PipeClosed:
        os._exit(ExitCode.STOPPED)  # nobody is left to answer
    except WireError as error:
        _logger.critical("the gateway sent what is no message: %s", error)
        os._exit(ExitCode.INTERNAL)
    except BaseException:
        _logger.critical("the intake failed", exc_info=True)
        os._exit(ExitCode.INTERNAL)
