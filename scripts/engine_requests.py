"""Workloads for engines: the pairs of requests, and the batches that a shard makes of them.

Documents are random tokens of the lengths that the workloads have, so that any checkpoint can be
measured.
"""

import random
from collections.abc import Iterator, Sequence

from shards.cost import packed_work, padded_work
from shards.engines.base import Engine
from shards.pairs import Prefix, TokenizedPair
from shards.worker.batcher import Batcher, TokenBudget, WaitingPair
from shards.worker.runner import prefixes_of

QUERY_TOKENS = {"query1500": 1500, "query3000": 3000}  # 15 in all others
WORKLOADS = {
    "short3": 3,
    "rag20": 20,
    "rag100": 100,
    "rag1000": 1000,
    **dict.fromkeys(QUERY_TOKENS, 20),
}


def document_lengths(workload: str, draw: random.Random) -> list[int]:
    """Return the tokens of each document: one sentence, or passages of log-normal lengths."""
    count = WORKLOADS[workload]
    if workload == "short3":
        return [draw.randint(10, 20) for _ in range(count)]
    return [min(400, max(30, int(draw.lognormvariate(4.8, 0.5)))) for _ in range(count)]


def request(engine: Engine, workload: str, draw: random.Random) -> list[TokenizedPair]:
    """Return the pairs of one request with a new query.

    All requests of a workload have documents of the same lengths, so that rounds can be compared.
    """
    lengths = document_lengths(workload, random.Random(0))
    empty = engine.tokenizer.tokenize("", ("",), instruction="", max_document_tokens=0)[0]
    ids = range(9, 500)  # in every vocabulary
    query = draw.choices(ids, k=QUERY_TOKENS.get(workload, 15))
    if empty.prefix is None:
        return [
            _pair([*empty.token_ids, *query, *draw.choices(ids, k=length)], None)
            for length in lengths
        ]
    shared = empty.prefix.token_ids[: empty.prefix.ends[0]]
    suffix = empty.token_ids[len(empty.prefix) :]
    prefix = Prefix((*shared, *query), (len(shared), len(shared) + len(query)))
    return [
        _pair([*prefix.token_ids, *draw.choices(ids, k=length), *suffix], prefix)
        for length in lengths
    ]


def _pair(token_ids: list[int], prefix: Prefix | None) -> TokenizedPair:
    return TokenizedPair(token_ids, len(token_ids), truncated=False, prefix=prefix)


def batches(engine: Engine, pairs: Sequence[TokenizedPair]) -> Iterator[list[TokenizedPair]]:
    """Yield the batches that a shard makes of the pairs of a job, to be scored in turn."""
    prefixes = prefixes_of(engine)
    prefixes.set_awaited(pair.prefix for pair in pairs if pair.prefix)
    batcher = Batcher(TokenBudget(engine.facts.token_budget), packed=engine.facts.packed)
    batcher.add(WaitingPair(1, at, pair) for at, pair in enumerate(pairs))
    while batch := batcher.next_batch({1}, prefixes):
        yield [waiting.pair for waiting in batch]
    prefixes.set_awaited(())


def cut(
    pairs: Sequence[TokenizedPair], *, packed: bool, token_budget: int
) -> Iterator[list[TokenizedPair]]:
    """Yield batches within a token budget, the longest pairs first."""
    cost = packed_work if packed else padded_work
    batch: list[TokenizedPair] = []
    for pair in sorted(pairs, key=lambda one: one.own_tokens, reverse=True):
        if batch and sum(cost([*batch, pair]).computed) > token_budget:
            yield batch
            batch = []
        batch.append(pair)
    yield batch
