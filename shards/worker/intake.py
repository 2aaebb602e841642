"""The threads beside the device: they read messages and turn texts into tokenized pairs.

Two threads. One reads the control socket and tokenizes the jobs of usual size itself, in order, so
that none waits for another thread to wake. The other tokenizes jobs with much text, which take up
to seconds. So a document of a megabyte delays other long ones only: a tokenizer releases the
interpreter while it works, and small jobs are tokenized and scored beside it.

Between two slices of a job its thread checks whether the job is still open. A single document is
one call, however long it is: there is no position in a text at which every tokenizer could stop
and have produced the tokens that it produces for the whole text.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from shards.engines.base import Tokenizer
from shards.pairs import QueryTooLong
from shards.wire.arena import LONG_TEXT_TOKENIZER, TOKENIZER
from shards.wire.codecs import WireError
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import (
    DOCUMENT_TOO_LONG,
    ENGINE_ERROR,
    NO_VECTORS,
    Cancel,
    Message,
    Score,
    Stop,
)
from shards.wire.pipe import PipeClosed, ShardEnd
from shards.worker.documents import NoVectors, TokenizedDocument, tokenized_slices
from shards.worker.open_jobs import OpenJob
from shards.worker.scheduler import Scheduler

_logger = logging.getLogger(__name__)

_COMPARES_PAIRS = (
    "this model compares a query with a document, and gives no vectors of single texts: name a "
    "bi-encoder; GET /v1/models lists them with the ability `embed`"
)
_USUAL_CHARACTERS = 32_768  # some 20 ms of any tokenizer
_USUAL_CHARACTERS_A_TOKEN = 8  # of the token budget: a job has a batch at most, see the gateway


class Intake:
    """The threads between the control socket and the scheduler."""

    def __init__(
        self, pipe: ShardEnd, tokenizer: Tokenizer, scheduler: Scheduler, *, token_budget: int
    ) -> None:
        self._pipe = pipe
        self._tokenizer = tokenizer
        self._scheduler = scheduler
        self._usual = max(_USUAL_CHARACTERS, _USUAL_CHARACTERS_A_TOKEN * token_budget)

    def start(self) -> None:
        """Begin; the threads end when no more jobs will come."""
        for name, run in (("intake", self._read), ("long texts", self._tokenize_long_texts)):
            threading.Thread(target=_run_or_exit, args=(run,), name=name, daemon=True).start()

    def _read(self) -> None:
        while not self._scheduler.is_stopping:
            self._receive(self._pipe.receive())

    def _receive(self, message: Message) -> None:
        if isinstance(message, Score):
            self._accept(message)
        elif isinstance(message, Cancel):
            self._scheduler.cancel(message.job)
        elif isinstance(message, Stop):
            self._scheduler.stop()

    def _accept(self, score: Score) -> None:
        job = OpenJob(score, accepted_ns=time.monotonic_ns())
        texts = (*score.queries, *score.documents, *score.instructions)
        if sum(map(len, texts)) > self._usual:
            self._scheduler.open_later(job)
        else:
            self._scheduler.open(job)
            self._tokenize(job, TOKENIZER)

    def _tokenize_long_texts(self) -> None:
        while job := self._scheduler.next_untokenized():
            self._tokenize(job, LONG_TEXT_TOKENIZER)

    def _tokenize(self, job: OpenJob, tokenizer: int) -> None:
        """Tokenize a job and queue its pairs; the arena names the job meanwhile."""
        self._pipe.arena.tokenizing(job.id, tokenizer)
        started_ns = time.monotonic_ns()
        try:
            documents = self._documents(job)
        except QueryTooLong as error:
            self._scheduler.fail(job.id, "query_too_long", str(error))
        except NoVectors:
            self._scheduler.fail(job.id, NO_VECTORS, _COMPARES_PAIRS)
        except Exception as error:
            _logger.exception("a job could not be tokenized")
            reason = f"tokenizing failed: {type(error).__name__}"
            self._scheduler.fail(job.id, ENGINE_ERROR, reason)
        else:
            job.tokenize_ns = time.monotonic_ns() - started_ns
            self._add_pairs(job, documents)
        self._pipe.arena.tokenizing(0, tokenizer)
        self._scheduler.tokenizing_ended(job)

    def _documents(self, job: OpenJob) -> list[TokenizedDocument]:
        """Return the documents of a job, tokenized; those so far if the job was closed."""
        documents: list[TokenizedDocument] = []
        for some in tokenized_slices(self._tokenizer, job.score):
            documents += some
            if not self._scheduler.is_wanted(job, time.monotonic_ns()):
                break
        return documents

    def _add_pairs(self, job: OpenJob, documents: Sequence[TokenizedDocument]) -> None:
        """Queue the job's pairs, unless a document was cut that must not be."""
        cut = next((at for at, document in enumerate(documents) if document.truncated), None)
        if job.score.refuse_truncation and cut is not None:
            self._scheduler.fail(job.id, DOCUMENT_TOO_LONG, f"document {cut} is too long", cut)
        else:
            self._scheduler.add_pairs(job, documents)


def _run_or_exit(run: Callable[[], None]) -> None:
    """Run a thread of the intake; end the process with it, since a shard cannot go on without."""
    try:
        run()
    except PipeClosed:
        os._exit(ExitCode.STOPPED)  # the gateway is gone, no answer can be sent
    except WireError as error:
        _logger.critical("the gateway sent bytes that are no message: %s", error)
        os._exit(ExitCode.INTERNAL)
    except BaseException:
        _logger.critical("the intake failed", exc_info=True)
        os._exit(ExitCode.INTERNAL)
