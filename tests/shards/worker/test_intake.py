"""A shard over a real pipe, and texts that take a tokenizer long: small jobs pass them."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from shards.engines.base import Tokenizer
from shards.pairs import Batch, TokenizedPair
from shards.prompts import TEMPLATES
from shards.tokenize import CausalTokenizer, PairTokenizer, load_tokenizer
from shards.wire.facts import Facts
from shards.wire.messages import DOCUMENT_TOO_LONG, Cancel, Failed, Scores, Stop
from tests import checkpoints
from tests.shards.in_process import Client, FaultyEngine, FaultyTokenizer, margins, running

_LONG = "word " * 10_000  # more than usual jobs have
_DEADLINE_NS = 4_000_000_000  # time enough to begin with a text
_MEGABYTE = {"letter": "a" * 1_000_000, "words": "the quick brown fox jumps over " * 33_000}


class _SlowTokenizer(FaultyTokenizer):
    """Waits in long documents until its gate is open."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length)
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def tokenize(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        if any(len(document) >= len(_LONG) for document in documents):
            self.entered.release()
            assert self.gate.wait(120)
        return super().tokenize(
            query,
            documents,
            instruction=instruction,
            max_document_tokens=max_document_tokens,
            keep_end=keep_end,
        )


class _SlowEngine(FaultyEngine):
    tokenizer: _SlowTokenizer

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = _SlowTokenizer(self.facts.max_length)


@pytest.fixture
def slow() -> _SlowEngine:
    return _SlowEngine()


@pytest.fixture
def tokenizer(slow: _SlowEngine) -> Iterator[_SlowTokenizer]:
    """Yield the slow tokenizer; open its gate in any case, so that a failing test ends."""
    yield slow.tokenizer
    slow.tokenizer.gate.set()


@pytest.fixture
def beside(slow: _SlowEngine, tokenizer: _SlowTokenizer) -> Iterator[Client]:
    with running(slow) as client:
        client.score(1, [_LONG])
        assert tokenizer.entered.acquire(timeout=120)
        yield client
        tokenizer.gate.set()


def test_small_jobs_are_answered_while_a_long_text_is_tokenized(
    tokenizer: _SlowTokenizer, beside: Client
) -> None:
    for job in range(2, 12):
        beside.score(job, ["a", f"small {job}"])
        answer = beside.answers(1)[job]
        assert isinstance(answer, Scores)
        assert answer.margins == margins(["a", f"small {job}"])
    tokenizer.gate.set()
    long = beside.answers(1)[1]
    assert isinstance(long, Scores)
    assert long.margins == margins([_LONG])


def test_the_arena_names_the_job_in_each_tokenizer(
    tokenizer: _SlowTokenizer, beside: Client
) -> None:
    beside.score(2, ["small"])
    beside.answers(1)
    beside.until_tokenized(1)
    during = beside.pipe.progress()
    assert (during.tokenized, during.tokenizing) == ((1, 0), (0, 1))
    tokenizer.gate.set()
    beside.answers(1)
    beside.until_tokenized(2)
    after = beside.pipe.progress()
    assert (after.tokenized, after.tokenizing) == ((1, 1), (0, 0))


def test_a_job_cancelled_in_the_tokenizer_is_answered_after_it(
    slow: _SlowEngine, tokenizer: _SlowTokenizer, beside: Client
) -> None:
    """Until then the job occupies the shard."""
    beside.pipe.send(Cancel(1))
    beside.score(2, ["small"])
    assert list(beside.answers(1)) == [2]
    tokenizer.gate.set()
    assert beside.answers(1) == {1: Failed(1, "cancelled", "the client left")}
    assert sum(slow.batches) == 1


def test_a_job_cancelled_in_the_queue_of_the_tokenizer_is_answered_at_once(
    tokenizer: _SlowTokenizer, beside: Client
) -> None:
    beside.score(2, [_LONG])
    beside.score(3, ["small"])
    beside.answers(1)
    beside.pipe.send(Cancel(2))
    assert beside.answers(1) == {2: Failed(2, "cancelled", "the client left")}
    tokenizer.gate.set()
    assert list(beside.answers(1)) == [1]
    assert not tokenizer.entered.acquire(blocking=False)  # the second was not begun


def test_a_deadline_that_passes_in_the_tokenizer_ends_the_job_between_documents(
    slow: _SlowEngine, tokenizer: _SlowTokenizer
) -> None:
    with running(slow) as client:
        client.score(1, ["a short one, so that the main thread waits for pairs by then"])
        assert isinstance(client.answers(1)[1], Scores)
        client.score(2, [_LONG, _LONG, _LONG], deadline_ns=_DEADLINE_NS)
        passed_ns = time.monotonic_ns() + _DEADLINE_NS
        assert tokenizer.entered.acquire(timeout=120)
        while time.monotonic_ns() <= passed_ns:
            time.sleep(0.01)
        tokenizer.gate.set()
        answer = client.answers(1)[2]
    assert isinstance(answer, Failed)
    assert answer.code == "deadline"
    assert not tokenizer.entered.acquire(blocking=False)  # the other two were not begun
    assert sum(slow.batches) == 1  # the short one


def test_a_stopped_shard_answers_jobs_in_the_tokenizer_and_in_its_queue(
    tokenizer: _SlowTokenizer, beside: Client
) -> None:
    beside.score(2, [_LONG, "b"])
    beside.pipe.send(Stop())
    tokenizer.gate.set()
    assert all(isinstance(answer, Scores) for answer in beside.answers(2).values())


def test_a_job_of_many_slices_is_one_job(client: Client) -> None:
    documents = [f"{number} {'word ' * 1_500}" for number in range(25)]
    client.score(1, documents)
    client.score(2, documents, queries=tuple(f"q{number}" for number in range(25)))
    client.score(3, ["short", *documents], max_document_tokens=90, refuse_truncation=True)
    client.score(4, documents, queries=("word " * 200,))
    answers = client.answers(4)
    single, paired, cut, refused = (answers[job] for job in (1, 2, 3, 4))
    assert isinstance(single, Scores)
    assert single.margins == margins(documents)
    assert single.truncated == tuple(range(25))
    assert isinstance(paired, Scores)
    assert paired.margins == tuple(
        margins([document], f"q{at}")[0] for at, document in enumerate(documents)
    )
    assert cut == Failed(3, DOCUMENT_TOO_LONG, "document 1 is too long", document=1)
    assert isinstance(refused, Failed)
    assert refused.code == "query_too_long"


class _Tokenizing:
    """An engine with a real tokenizer, whose margins are the lengths of pairs."""

    facts = Facts(engine="test", device="cpu", dtype="fp32", max_length=256, token_budget=1024)

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def warm_up(self) -> None:
        """See `Engine`; there is nothing to warm."""

    def score(self, batch: Batch) -> list[float]:
        return [float(len(pair)) for pair in batch]


@pytest.fixture(scope="module", params=["causal", "pair"])
def tokenizing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "pair":
        tokenizer = checkpoints.piece_tokenizer()
        checkpoints.write_tokenizer(folder, tokenizer, tokenizer_class="XLMRobertaTokenizer")
        return PairTokenizer(load_tokenizer(folder), max_length=256)
    checkpoints.write_tokenizer(
        folder, checkpoints.chat_tokenizer(), tokenizer_class="Qwen2Tokenizer", unk_token=None
    )
    template = TEMPLATES["qwen3-reranker"]
    return CausalTokenizer(load_tokenizer(folder), template, max_length=256)


@pytest.mark.parametrize("in_passages", [False, True])
@pytest.mark.parametrize("text", _MEGABYTE.values(), ids=_MEGABYTE)
def test_a_tokenizer_at_work_on_a_megabyte_does_not_delay_small_jobs(
    text: str, in_passages: bool, tokenizing: Tokenizer
) -> None:
    """Small jobs are sent after it, one after the other, and answered before it."""
    with running(_Tokenizing(tokenizing)) as client:
        client.score(1, [text], in_passages=in_passages, most_passages=2 * in_passages)
        for job in range(2, 7):
            client.score(job, [f"small {job}"])
            assert list(client.answers(1)) == [job]
        long = client.answers(1)[1]
    assert isinstance(long, Scores)
    assert long.truncated == (0,)
