"""What is remembered of a pair that ended shards, and for how long."""

from gateway.quarantine import Quarantine


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
