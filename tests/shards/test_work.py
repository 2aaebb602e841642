"""Work is counted in tokens, and told once."""

from shards.pairs import EncodedPair, Prefix
from shards.wire.messages import Scores
from shards.work import Ledger, Work, joined, packed_work, padded_work

REPLY = Scores(1, (0.0,), (9,), (), 9, 0, 0)


def pair(length: int, prefix: Prefix | None = None) -> EncodedPair:
    return EncodedPair([0] * length, length, False, prefix)


def test_padding_makes_every_pair_as_long_as_the_longest() -> None:
    assert padded_work([pair(3), pair(10)]) == Work([10, 10], [0, 0])


def test_a_shared_prefix_is_computed_for_the_first_pair_that_has_it() -> None:
    first, second = Prefix((1,) * 5, (5,)), Prefix((2,) * 6, (3, 6))
    batch = [pair(8, first), pair(7, second), pair(9, first), pair(4), pair(6, first)]
    assert packed_work(batch) == Work([8, 7, 4, 4, 1], [0, 0, 5, 0, 5])


def test_parts_that_are_kept_are_not_computed() -> None:
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


def test_batches_are_told_once() -> None:
    ledger = Ledger()
    assert ledger.tell(REPLY) == REPLY
    ledger.note(Work([3, 4], [5, 0], prefix_hits=2, prefix_misses=1), took_ns=5_000)
    ledger.note(Work([9], [0]), took_ns=2_000)
    told = ledger.tell(REPLY)
    assert (told.batch_pairs, told.batch_tokens, told.batch_us) == ((2, 1), (7, 9), (5, 2))
    assert (told.prefix_hits, told.prefix_misses) == (2, 1)
    assert ledger.tell(REPLY) == REPLY
