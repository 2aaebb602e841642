"""The row of a batch, and the groups that attend together."""

from shards.engines.mlx.batch_plan import plan_batch
from shards.pairs import Prefix, TokenizedPair


def pair(ids: list[int], prefix: Prefix | None = None) -> TokenizedPair:
    return TokenizedPair(ids, len(ids), False, prefix)


def test_a_prefix_is_in_the_row_once_and_its_pairs_attend_together() -> None:
    prefix = Prefix((1, 2, 3), (2, 3))
    batch = [pair([1, 2, 3, 7, 8], prefix), pair([9]), pair([1, 2, 3, 4, 5], prefix)]
    plan = plan_batch(batch, prefix.parts)
    assert plan.token_ids == [1, 2, 3, 7, 8, 9, 4, 5]
    assert plan.positions == [0, 1, 2, 3, 4, 0, 3, 4]
    assert [(group.past, group.spans, group.pairs) for group in plan.groups] == [
        (0, ((0, 2),), ()),
        (2, ((2, 1),), ()),
        (3, ((3, 2), (6, 2)), (0, 2)),
        (0, ((5, 1),), (1,)),
    ]
    assert plan.places() == [0, 1, 2, 3, 4, 7, 5, 6]


def test_a_group_holds_segments_of_similar_length_longest_first() -> None:
    batch = [pair([0] * length) for length in (80, 10, 100, 9, 70)]
    groups = plan_batch(batch, ()).groups
    assert [group.pairs for group in groups] == [(2, 0), (4,), (1, 3)]
    assert groups[2].rows()[1] == [*range(190, 199), 198]  # padded with its own last row


def test_a_group_bounds_the_copies_of_its_prefix() -> None:
    prefix = Prefix(tuple(range(10_000)), (10_000,))
    batch = [pair([*range(10_000), 1], prefix) for _ in range(7)]
    groups = plan_batch(batch, ()).groups
    assert [len(group.pairs) for group in groups] == [3, 3, 1]
