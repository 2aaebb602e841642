"""The memory of pairs that ended shards, and of callers that sent several of them."""

from gateway.scheduling.quarantine import Quarantine


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


def test_a_refused_pair_is_no_suspect_any_more() -> None:
    quarantine = _quarantine()
    quarantine.suspect("q", "d", now=0.0)
    quarantine.refuse("q", "d", now=0.0)
    assert not quarantine.is_suspected("q", "d", now=1.0)


def test_other_pairs_are_not_refused() -> None:
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


def test_a_pair_that_is_refused_again_is_remembered_anew() -> None:
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


def test_the_version_changes_with_each_suspicion_and_refusal() -> None:
    quarantine = Quarantine(b"key")
    versions = [quarantine.version]
    quarantine.suspect("q", "d", now=0.0)
    versions.append(quarantine.version)
    quarantine.refuse("q", "d", now=0.0)
    versions.append(quarantine.version)
    assert versions == sorted(set(versions))
    quarantine.clear("q", "d")
    assert quarantine.version == versions[-1]  # an acquittal changes no earlier check


def _with_refusals(caller: str, *times: float) -> Quarantine:
    quarantine = _quarantine()
    for number, now in enumerate(times):
        quarantine.refuse("q", str(number), now, caller)
    return quarantine


def test_three_refused_pairs_within_ten_minutes_confine_a_key() -> None:
    assert not _with_refusals("a", 0.0, 1.0).confines("a", 2.0)
    quarantine = _with_refusals("a", 0.0, 1.0, 2.0)
    assert quarantine.confines("a", 599.0)
    assert quarantine.confined(599.0) == ("a",)
    assert not quarantine.confines("b", 2.0)
    assert not quarantine.confines("a", 600.0)
    assert quarantine.confined(600.0) == ()


def test_a_key_with_further_refusals_stays_confined() -> None:
    quarantine = _with_refusals("a", 0.0, 1.0, 2.0, 500.0)
    assert quarantine.confines("a", 600.0)
    assert not quarantine.confines("a", 601.0)


def test_three_refusals_that_are_far_apart_confine_no_key() -> None:
    assert not _with_refusals("a", 0.0, 500.0, 1000.0).confines("a", 1000.0)


def test_callers_without_a_key_are_not_confined_for_each_other() -> None:
    assert not _with_refusals("", 0.0, 1.0, 2.0).confines("", 3.0)


def test_every_pair_of_a_confined_key_is_isolated_and_no_other() -> None:
    quarantine = _quarantine()
    for number in range(3):
        assert not quarantine.isolates_any([("q", "harmless")], 1.0, "a")
        quarantine.refuse("q", str(number), 1.0, "a")
    assert quarantine.isolates_any([("q", "harmless")], 1.0, "a")
    assert not quarantine.isolates_any([("q", "harmless")], 1.0, "b")
    assert not quarantine.isolates_any([("q", "harmless")], 1.0)
    assert quarantine.confined(1.0) == ("a",)
