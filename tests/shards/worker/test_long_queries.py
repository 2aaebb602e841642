"""A shard over a real pipe, and queries longer than a batch: each is computed once."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from shards.engines import load_engine
from shards.engines.decoder.causal import CausalEngine
from shards.pairs import Batch, Prefix, TokenizedPair
from shards.wire.messages import Cancel, Failed, Scores
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference
from tests.shards.in_process import Client, running

_BUDGET = 2048  # a CPU's
_WORDS = " ".join(checkpoints.SAMPLES[:1] + checkpoints.SAMPLES[3:]).split()
_TOLERANCE = 1e-4  # of the margin, in fp32


def _text(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(_WORDS, k=words))


_DOCUMENTS = [_text(40 + 3 * number, number) for number in range(20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return checkpoints.qwen3(tmp_path_factory.mktemp("models"))


@dataclass
class Watched:
    """An engine that records its batches, which wait for `gate`; `one_by_one` closes it again."""

    engine: CausalEngine
    gate: threading.Event = field(default_factory=threading.Event)
    one_by_one: bool = False
    busy: threading.Event = field(default_factory=threading.Event)
    batches: list[list[TokenizedPair]] = field(default_factory=list)
    held_bytes: list[int] = field(default_factory=list)

    def score(self, batch: Batch) -> list[float]:
        self.busy.set()
        assert self.gate.wait(120)
        if self.one_by_one:
            self.gate.clear()
        margins = type(self.engine).score(self.engine, batch)
        self.batches.append(list(batch))
        self.held_bytes.append(self.engine.prefixes.held_bytes)
        return margins

    def prefix(self, query: str) -> Prefix:
        (pair,) = self.engine.tokenizer.tokenize(query, [""], instruction="", max_document_tokens=0)
        assert pair.prefix is not None
        return pair.prefix

    def until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not is_so():
            assert time.monotonic() < end
            time.sleep(0.001)


@contextmanager
def shard(folder: Path, cache_mb: int = 0) -> Iterator[tuple[Watched, Client]]:
    """Run a shard whose engine caches only awaited prefixes by default."""
    spec = ShardSpec(
        name="m/cpu",
        model="m",
        source=str(folder),
        dtype="fp32",
        max_length=6000,
        token_budget=_BUDGET,
        prefix_cache_mb=cache_mb,
    )
    engine = load_engine(spec, lambda line: None)
    assert isinstance(engine, CausalEngine)
    watched = Watched(engine)
    engine.score = watched.score  # type: ignore[method-assign]
    watched.gate.set()
    with running(engine) as client:
        yield watched, client


def _scores(client: Client, count: int) -> list[Scores]:
    answers = client.answers(count)
    found = [answers[job] for job in sorted(answers)]
    return [answer for answer in found if isinstance(answer, Scores)]


def _are_right(folder: Path, query: str, margins: Sequence[float]) -> None:
    """Compare some of the margins of the documents with those of plain transformers."""
    some = slice(0, len(margins), 9)
    expected = reference.causal_margins(folder, query, _DOCUMENTS[: len(margins)][some])
    assert margins[some] == pytest.approx(expected, abs=_TOLERANCE)


@pytest.mark.parametrize(("words", "tokens", "most_batches"), [(2460, 3000, 3), (1230, 1500, 3)])
def test_a_long_query_is_computed_once_for_all_its_documents(
    words: int, tokens: int, most_batches: int, folder: Path
) -> None:
    query = _text(words, seed=99)
    with shard(folder) as (watched, client):
        prefix = watched.prefix(query)
        client.score(1, _DOCUMENTS, queries=(query,))
        (answer,) = _scores(client, 1)
        watched.until(lambda: not len(watched.engine.prefixes))  # no pair awaits it any more
    assert 0.97 * tokens < len(prefix) - prefix.ends[0] < 1.03 * tokens
    assert answer.saved_tokens == len(prefix) * (len(_DOCUMENTS) - 1)
    assert answer.prefix_misses == len(prefix.parts)
    own = sum(pair.own_tokens for batch in watched.batches for pair in batch)
    padding = answer.computed_tokens - len(prefix) - own
    assert 0 <= padding <= 7 * len(watched.batches)  # rows come in eights in fp32
    assert len(watched.batches) <= most_batches
    assert sum(map(len, watched.batches)) == len(_DOCUMENTS)
    _are_right(folder, query, answer.margins)


def test_jobs_with_the_same_query_share_it_even_if_one_comes_while_the_other_is_scored(
    folder: Path,
) -> None:
    query = _text(2100, seed=98)
    with shard(folder) as (watched, client):
        prefix = watched.prefix(query)
        watched.gate.clear()
        client.score(1, _DOCUMENTS[:3], queries=(query,))
        assert watched.busy.wait(120)
        for job, documents in ((2, _DOCUMENTS[3:12]), (3, _DOCUMENTS[12:])):
            client.score(job, documents, queries=(query,))
        client.until_tokenized(3)
        watched.gate.set()
        answers = _scores(client, 3)
    assert sum(answer.saved_tokens for answer in answers) == len(prefix) * (len(_DOCUMENTS) - 1)
    margins = [margin for answer in answers for margin in answer.margins]
    _are_right(folder, query, margins)


def test_a_late_job_finds_its_query_cached_though_others_had_their_turn(
    folder: Path,
) -> None:
    query, other = _text(1400, seed=89), _text(1400, seed=88)
    with shard(folder, cache_mb=1) as (watched, client):
        prefix = watched.prefix(query)
        assert len(prefix) * _bytes_a_token(watched) > 1 << 20  # not cached unless awaited
        watched.gate.clear()
        watched.one_by_one = True
        client.score(1, _DOCUMENTS[:3], queries=(query,))
        assert watched.busy.wait(120)
        client.score(2, _DOCUMENTS[:3], queries=(other,))
        client.until_tokenized(2)
        watched.gate.set()
        assert set(client.answers(1)) == {1}  # and no pair in the shard awaits its query
        client.score(3, _DOCUMENTS[3:6], queries=(query,))
        client.until_tokenized(3)
        watched.one_by_one = False
        watched.gate.set()
        answers = client.answers(2)
    third = answers[3]
    assert isinstance(third, Scores)
    assert third.saved_tokens == 3 * len(prefix)


def test_the_query_of_a_cancelled_job_stays_cached_for_another_one(folder: Path) -> None:
    query = _text(2100, seed=97)
    with shard(folder) as (watched, client):
        prefix = watched.prefix(query)
        watched.gate.clear()
        client.score(1, _DOCUMENTS, queries=(query,))
        assert watched.busy.wait(120)
        client.score(2, _DOCUMENTS[:4], queries=(query,))
        client.pipe.send(Cancel(1))
        client.score(3, ["short"])
        client.until_tokenized(3)  # so the frame before it has been read
        watched.gate.set()
        answers = client.answers(3)
    first, second = answers[1], answers[2]
    assert isinstance(first, Failed)
    assert isinstance(second, Scores)
    assert sum(map(len, watched.batches)) == len(watched.batches[0]) + 5
    assert second.saved_tokens == 4 * len(prefix)


def test_a_prefix_that_is_no_longer_awaited_is_freed(folder: Path) -> None:
    query = _text(2100, seed=96)
    with shard(folder) as (watched, client):
        watched.gate.clear()
        client.score(1, _DOCUMENTS, queries=(query,))
        assert watched.busy.wait(120)
        client.pipe.send(Cancel(1))
        watched.gate.set()
        assert isinstance(client.answers(1)[1], Failed)
        watched.until(lambda: not len(watched.engine.prefixes))


def test_long_queries_of_many_jobs_stay_within_a_bound(folder: Path) -> None:
    queries = [_text(2100, seed) for seed in range(90, 95)]
    with shard(folder, cache_mb=1) as (watched, client):
        size = _bytes_a_token(watched)
        watched.gate.clear()
        client.score(100, ["first"])
        assert watched.busy.wait(120)
        for job, query in enumerate(queries):
            client.score(job, _DOCUMENTS[:6], queries=(query,))
        client.until_tokenized(1 + len(queries))
        watched.gate.set()
        answers = _scores(client, 1 + len(queries))[:-1]
        longest = max(len(watched.prefix(query)) for query in queries) * size
    assert longest > 1 << 20  # not cached unless awaited
    assert max(watched.held_bytes) <= max(4 << 20, longest) + (1 << 20)
    for query, answer in zip(queries, answers, strict=True):
        _are_right(folder, query, answer.margins)
        assert answer.saved_tokens >= 5 * (len(watched.prefix(query)) - 100)


def _bytes_a_token(watched: Watched) -> float:
    """Return the bytes of a cached token."""
    pairs = watched.engine.tokenizer.tokenize("q", ["d"], instruction="", max_document_tokens=0)
    watched.engine.score(pairs)
    kept = watched.engine.prefixes
    assert pairs[0].prefix is not None
    return kept.held_bytes / len(pairs[0].prefix)


def test_when_memory_runs_out_awaited_prefixes_are_freed_and_computed_again(folder: Path) -> None:
    query = _text(2100, seed=95)
    with shard(folder) as (watched, client):
        prefix = watched.prefix(query)
        watched.gate.clear()
        client.score(1, _DOCUMENTS, queries=(query,))
        assert watched.busy.wait(120)
        watched.engine.on_step = _once_in_the_second_batch(watched)
        watched.gate.set()
        (answer,) = _scores(client, 1)
    _are_right(folder, query, answer.margins)
    assert answer.saved_tokens == len(prefix) * (len(_DOCUMENTS) - 2)  # it was computed twice


def _once_in_the_second_batch(watched: Watched) -> Callable[[], None]:
    raised: list[Sequence[TokenizedPair]] = []

    def step() -> None:
        if len(watched.batches) == 1 and not raised:
            raised.append(watched.batches[0])
            assert len(watched.engine.prefixes)
            raise MemoryError("this machine has no more")

    return step
