"""Prefixes come in parts that build on each other."""

from shards.pairs import Part, Prefix, TokenizedPair


def test_parts_build_on_each_other() -> None:
    first, second = Prefix((7, 8, 9, 9), (2, 4)).parts
    assert (first, second) == (Part(0, (7, 8)), Part(2, (7, 8, 9, 9)))
    assert (len(first), len(second)) == (2, 2)
    assert second.builds_on(first)
    assert second.builds_on(second)
    assert not first.builds_on(second)
    assert not second.builds_on(Part(0, (7, 9)))


def test_there_are_no_empty_parts() -> None:
    assert Prefix((7, 8), (2, 2)).parts == (Part(0, (7, 8)),)
    assert Prefix((), (0,)).parts == ()


def test_equal_tokens_make_equal_prefixes() -> None:
    assert Prefix((7, 8), (1, 2)) == Prefix((7, 8), (1, 2))
    assert hash(Prefix((7, 8), (1, 2))) == hash(Prefix((7, 8), (1, 2)))
    assert Prefix((7, 8), (1, 2)) != Prefix((7, 9), (1, 2))


def test_a_pair_without_a_prefix_has_no_parts() -> None:
    pair = TokenizedPair([7, 8, 9], 3, truncated=False)
    assert (pair.parts, pair.own_tokens) == ((), 3)
    pair = TokenizedPair([7, 8, 9], 3, truncated=False, prefix=Prefix((7, 8), (2,)))
    assert (pair.parts, pair.own_tokens) == ((Part(0, (7, 8)),), 1)
