"""What is remembered of a pair that ended shards, and for how long."""

from gateway.quarantine import Quarantine


def _quarantine() -> Quarantine:
    return Quarantine(b"key")


def test_a_pair_is_refused_for_ten_minutes() -> None:
    quarantine = _quarantine()
    quarantine.refuse("q", "d", now=100.0)
    assert quarantine.is_refused("q", "d", now=699.9)
    assert not quarantine.is_refused("q", "d", now=700.0)


def test_a_suspect_is_not_refused_and_can_be_cleared() -> None:
    quarantine = _quarantine()
    quarantine.suspect("q", "d", now=0.0)
    assert quarantine.is_suspected("q", "d", now=1.0)
    assert not quarantine.is_refused("q", "d", now=1.0)
    quarantine.clear("q", "d")
    assert not quarantine.is_suspected("q", "d", now=1.0)


def test_who_is_refused_is_no_suspect_any_more() -> None:
    quarantine = _quarantine()
    quarantine.suspect("q", "d", now=0.0)
    quarantine.refuse("q", "d", now=0.0)
    assert not quarantine.is_suspected("q", "d", now=1.0)


def test_other_pairs_are_not_meant() -> None:
    quarantine = _quarantine()
    quarantine.refuse("ab", "c", now=0.0)
    for query, document in [("a", "bc"), ("abc", ""), ("ab", "d"), ("", "abc")]:
        assert not quarantine.is_refused(query, document, now=1.0)


def test_the_oldest_are_forgotten_first() -> None:
    quarantine = _quarantine()
    for number in range(10_001):
        quarantine.refuse("q", str(number), now=0.0)
    assert not quarantine.is_refused("q", "0", now=1.0)
    assert quarantine.is_refused("q", "10000", now=1.0)


def test_a_pair_that_does_it_again_is_remembered_anew() -> None:
    quarantine = _quarantine()
    quarantine.refuse("q", "d", now=0.0)
    quarantine.refuse("q", "e", now=1.0)
    quarantine.refuse("q", "d", now=500.0)
    assert quarantine.is_refused("q", "d", now=1000.0)
    assert not quarantine.is_refused("q", "e", now=1000.0)


def test_no_text_is_kept() -> None:
    quarantine = _quarantine()
    quarantine.refuse("my secret query", "my secret document", now=0.0)
    quarantine.suspect("my secret query", "my secret document", now=0.0)
    kept = f"{vars(quarantine._refused)} {vars(quarantine._suspected)}"
    assert "secret" not in kept


def test_who_asked_before_is_told_by_the_version() -> None:
    quarantine = Quarantine(b"key")
    versions = [quarantine.version]
    quarantine.suspect("q", "d", now=0.0)
    versions.append(quarantine.version)
    quarantine.refuse("q", "d", now=0.0)
    versions.append(quarantine.version)
    assert versions == sorted(set(versions))
    quarantine.clear("q", "d")
    assert quarantine.version == versions[-1]  # nobody has to look again for an acquittal
