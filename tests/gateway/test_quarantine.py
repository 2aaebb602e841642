"""What is remembered of a pair that ended shards, and for how long."""

import pytest

from gateway.quarantine import Held, Poison, Quarantine


def test_a_pair_is_refused_for_ten_minutes() -> None:
    quarantine = Quarantine(b"key")
    quarantine.add("q", "d", now=100.0)
    assert quarantine.holds("q", "d", now=699.9)
    assert not quarantine.holds("q", "d", now=700.0)
    assert len(quarantine) == 0


def test_other_pairs_are_not_meant() -> None:
    quarantine = Quarantine(b"key")
    quarantine.add("ab", "c", now=0.0)
    for query, document in [("a", "bc"), ("abc", ""), ("ab", "d"), ("", "abc")]:
        assert not quarantine.holds(query, document, now=1.0)


def test_the_oldest_are_forgotten_first() -> None:
    quarantine = Quarantine(b"key")
    for number in range(10_001):
        quarantine.add("q", str(number), now=0.0)
    assert len(quarantine) == 10_000
    assert not quarantine.holds("q", "0", now=1.0)
    assert quarantine.holds("q", "10000", now=1.0)


def test_no_text_is_kept() -> None:
    quarantine = Quarantine(b"key")
    quarantine.add("my secret query", "my secret document", now=0.0)
    assert "secret" not in repr(vars(quarantine))


def _objection(quarantine: Quarantine, known: int = 0, *, is_suspect: bool = False) -> object:
    pairs = [("q", "a"), ("q", "b")]
    return quarantine.objection(pairs, known, now=1.0, is_suspect=is_suspect)


def test_others_wait_while_a_pair_is_under_suspicion_and_the_suspect_does_not() -> None:
    quarantine = Quarantine(b"key")
    assert _objection(quarantine) is None
    quarantine.suspect("q", "b")
    quarantine.suspect("q", "b")
    assert isinstance(_objection(quarantine), Held)
    assert _objection(quarantine, is_suspect=True) is None
    quarantine.absolve("q", "b")
    assert isinstance(_objection(quarantine), Held)
    quarantine.absolve("q", "b")
    assert _objection(quarantine) is None


@pytest.mark.parametrize("is_suspect", [True, False])
def test_a_verdict_counts_for_those_who_came_before_it(is_suspect: bool) -> None:
    quarantine = Quarantine(b"key")
    quarantine.add("q", "b", now=0.0)
    objection = _objection(quarantine, known=0, is_suspect=is_suspect)
    assert isinstance(objection, Poison)
    assert objection.place == 1
    assert _objection(quarantine, known=1, is_suspect=is_suspect) is None  # asked already
