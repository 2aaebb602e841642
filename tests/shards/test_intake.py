"""A shard over a real pipe, and texts that a tokenizer takes long for: who waits for them, and who not."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from shards.encoder import CausalEncoder, PairEncoder, load_tokenizer
from shards.encoder.templates import TEMPLATES
from shards.engines.base import Encoder, Facts
from shards.pairs import Batch, EncodedPair
from shards.wire.messages import DOCUMENT_TOO_LONG, Cancel, Failed, Scores, Stop
from tests import checkpoints
from tests.shards.moody import Client, MoodyEncoder, MoodyEngine, margins, running

_LONG = "word " * 10_000  # more than usual jobs have
_MEGABYTE = {"letter": "a" * 1_000_000, "words": "the quick brown fox jumps over " * 33_000}


class _SlowEncoder(MoodyEncoder):
    """Waits in long documents until its gate is open."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length)
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def encode(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[EncodedPair]:
        if any(len(document) >= len(_LONG) for document in documents):
            self.entered.release()
            assert self.gate.wait(20)
        return super().encode(
            query,
            documents,
            instruction=instruction,
            max_document_tokens=max_document_tokens,
            keep_end=keep_end,
        )


class _SlowToEncode(MoodyEngine):
    encoder: _SlowEncoder

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _SlowEncoder(self.facts.max_length)


@pytest.fixture
def slow() -> _SlowToEncode:
    return _SlowToEncode()


@pytest.fixture
def encoder(slow: _SlowToEncode) -> Iterator[_SlowEncoder]:
    """Open its gate in any case, so that a test that fails ends."""
    yield slow.encoder
    slow.encoder.gate.set()


@pytest.fixture
def beside(slow: _SlowToEncode, encoder: _SlowEncoder) -> Iterator[Client]:
    with running(slow) as client:
        client.score(1, [_LONG])
        assert encoder.entered.acquire(timeout=20)
        yield client
        encoder.gate.set()


def test_small_jobs_are_answered_while_a_long_text_is_encoded(
    encoder: _SlowEncoder, beside: Client
) -> None:
    for job in range(2, 12):
        beside.score(job, ["a", f"small {job}"])
        answer = beside.answers(1)[job]
        assert isinstance(answer, Scores)
        assert answer.margins == margins(["a", f"small {job}"])
    encoder.gate.set()
    long = beside.answers(1)[1]
    assert isinstance(long, Scores)
    assert long.margins == margins([_LONG])


def test_the_arena_says_who_is_in_which_encoder(encoder: _SlowEncoder, beside: Client) -> None:
    beside.score(2, ["small"])
    beside.answers(1)
    beside.until_encoded(1)
    during = beside.pipe.progress()
    assert (during.encoded, during.encoding) == ((1, 0), (0, 1))
    encoder.gate.set()
    beside.answers(1)
    beside.until_encoded(2)
    after = beside.pipe.progress()
    assert (after.encoded, after.encoding) == ((1, 1), (0, 0))


def test_who_is_cancelled_in_the_encoder_is_answered_when_it_is_done_with_it(
    slow: _SlowToEncode, encoder: _SlowEncoder, beside: Client
) -> None:
    """Until then it takes room in the shard."""
    beside.pipe.send(Cancel(1))
    beside.score(2, ["small"])
    assert list(beside.answers(1)) == [2]
    encoder.gate.set()
    assert beside.answers(1) == {1: Failed(1, "cancelled", "the client left")}
    assert sum(slow.batches) == 1


def test_who_is_cancelled_in_line_for_the_encoder_is_answered_at_once(
    encoder: _SlowEncoder, beside: Client
) -> None:
    beside.score(2, [_LONG])
    beside.score(3, ["small"])
    beside.answers(1)
    beside.pipe.send(Cancel(2))
    assert beside.answers(1) == {2: Failed(2, "cancelled", "the client left")}
    encoder.gate.set()
    assert list(beside.answers(1)) == [1]
    assert not encoder.entered.acquire(blocking=False)  # nobody began with the second


def test_a_deadline_that_passes_in_the_encoder_ends_the_job_between_two_documents(
    slow: _SlowToEncode, encoder: _SlowEncoder
) -> None:
    with running(slow) as client:
        client.score(1, ["a short one has the device look at its line before, and then wait"])
        assert isinstance(client.answers(1)[1], Scores)
        client.score(2, [_LONG, _LONG, _LONG], deadline_ns=1_000_000_000)
        passed_ns = time.monotonic_ns() + 1_000_000_000
        assert encoder.entered.acquire(timeout=20)
        while time.monotonic_ns() <= passed_ns:
            time.sleep(0.01)
        encoder.gate.set()
        answer = client.answers(1)[2]
    assert isinstance(answer, Failed)
    assert answer.code == "deadline"
    assert not encoder.entered.acquire(blocking=False)  # the other two were not begun
    assert sum(slow.batches) == 1  # the short one


def test_a_stopped_shard_answers_what_is_in_the_encoder_and_in_its_line(
    encoder: _SlowEncoder, beside: Client
) -> None:
    beside.score(2, [_LONG, "b"])
    beside.pipe.send(Stop())
    encoder.gate.set()
    assert all(isinstance(answer, Scores) for answer in beside.answers(2).values())


def test_a_job_of_many_slices_is_one_job(client: Client) -> None:
    documents = [f"{number} {'word ' * 1_500}" for number in range(25)]
    client.score(1, documents)
    client.score(2, documents, queries=tuple(f"q{number}" for number in range(25)))
    client.score(3, ["short", *documents], max_document_tokens=90, refuse_truncation=True)
    client.score(4, documents, queries=("word " * 200,))
    answers = client.answers(4)
    one, paired, cut, refused = (answers[job] for job in (1, 2, 3, 4))
    assert isinstance(one, Scores)
    assert one.margins == margins(documents)
    assert one.truncated == tuple(range(25))
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

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def warm_up(self) -> None:
        """Nothing to warm."""

    def score(self, batch: Batch) -> list[float]:
        return [float(len(pair)) for pair in batch]


@pytest.fixture(scope="module", params=["causal", "pair"])
def tokenizing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "pair":
        tokenizer = checkpoints.piece_tokenizer()
        checkpoints.write_tokenizer(folder, tokenizer, tokenizer_class="XLMRobertaTokenizer")
        return PairEncoder(load_tokenizer(folder), max_length=256)
    checkpoints.write_tokenizer(
        folder, checkpoints.chat_tokenizer(), tokenizer_class="Qwen2Tokenizer", unk_token=None
    )
    template = TEMPLATES["qwen3-reranker"]
    return CausalEncoder(load_tokenizer(folder), template, max_length=256)


@pytest.mark.parametrize("in_passages", [False, True])
@pytest.mark.parametrize("text", _MEGABYTE.values(), ids=_MEGABYTE)
def test_a_tokenizer_at_work_on_a_megabyte_leaves_others_their_turn(
    text: str, in_passages: bool, tokenizing: Encoder
) -> None:
    """All that is small is sent after it, one after the other, and answered before it."""
    with running(_Tokenizing(tokenizing)) as client:
        client.score(1, [text], in_passages=in_passages, most_passages=2 * in_passages)
        for job in range(2, 7):
            client.score(job, [f"small {job}"])
            assert list(client.answers(1)) == [job]
        long = client.answers(1)[1]
    assert isinstance(long, Scores)
    assert long.truncated == (0,)
