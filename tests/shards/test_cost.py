"""Work is counted in tokens, and reported once."""

from dataclasses import replace

from shards.cost import BatchReport, Work, attended_tokens, joined, packed_work, padded_work
from shards.pairs import Prefix, TokenizedPair
from shards.wire.messages import Scores

REPLY = Scores(1, (0.0,), (9,), (), 9, 0, 0)


def pair(length: int, prefix: Prefix | None = None) -> TokenizedPair:
    return TokenizedPair([0] * length, length, False, prefix)


def test_padding_makes_every_pair_as_long_as_the_longest() -> None:
    assert padded_work([pair(3), pair(10)]) == Work([10, 10], [0, 0])


def test_a_shared_prefix_is_computed_for_the_first_pair_that_has_it() -> None:
    first, second = Prefix((1,) * 5, (5,)), Prefix((2,) * 6, (3, 6))
    batch = [pair(8, first), pair(7, second), pair(9, first), pair(4), pair(6, first)]
    assert packed_work(batch) == Work([8, 7, 4, 4, 1], [0, 0, 5, 0, 5])


def test_cached_parts_are_not_computed() -> None:
    first, second = Prefix((1,) * 5, (2, 5)), Prefix((1, 1, 2), (2, 3))
    batch = [pair(8, first), pair(9, second), pair(7, first)]
    assert packed_work(batch) == Work([8, 7, 2], [0, 2, 5])
    assert packed_work(batch, first.parts[:1]) == Work([6, 7, 2], [2, 2, 5])
    assert packed_work(batch, {*first.parts, *second.parts}) == Work([3, 6, 2], [5, 3, 5])


def test_parts_of_a_batch_are_joined_in_order() -> None:
    assert joined([Work([1], [2], 3, 4), Work([5, 6], [7, 8], 1, 1)]) == Work(
        [1, 5, 6], [2, 7, 8], 4, 5
    )
    assert joined([]) == Work([], [])


def test_batches_are_reported_once() -> None:
    report = BatchReport()
    assert report.take() == {}
    report.add(Work([3, 4], [5, 0], prefix_hits=2, prefix_misses=1), took_ns=5_000)
    report.add(Work([9], [0]), took_ns=2_000)
    reply = replace(REPLY, **report.take())
    assert (reply.batch_pairs, reply.batch_tokens, reply.batch_us) == ((2, 1), (7, 9), (5, 2))
    assert (reply.prefix_hits, reply.prefix_misses) == (2, 1)
    assert report.take() == {}


def test_attention_makes_long_pairs_dearer_than_their_tokens() -> None:
    short, long = [pair(16)] * 2048, [pair(32768)]
    assert sum(map(len, short)) == sum(map(len, long))
    assert attended_tokens([16] * 2048, short) == 32768
    assert attended_tokens([32768], long) == 32768 * 17
