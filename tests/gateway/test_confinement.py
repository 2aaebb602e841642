"""Which keys have all their pairs scored alone, and for how long."""

from gateway.confinement import Confinement
from gateway.quarantine import Quarantine


def _with(caller: str, *times: float) -> Confinement:
    confinement = Confinement()
    for now in times:
        confinement.refused(caller, now)
    return confinement


def test_three_refused_pairs_within_ten_minutes_confine_a_key() -> None:
    assert not _with("a", 0.0, 1.0).confines("a", 2.0)
    confinement = _with("a", 0.0, 1.0, 2.0)
    assert confinement.confines("a", 599.0)
    assert confinement.callers(599.0) == ("a",)
    assert not confinement.confines("b", 2.0)
    assert not confinement.confines("a", 600.0)
    assert confinement.callers(600.0) == ()


def test_who_goes_on_stays_confined() -> None:
    confinement = _with("a", 0.0, 1.0, 2.0, 500.0)
    assert confinement.confines("a", 600.0)
    assert not confinement.confines("a", 601.0)


def test_three_that_are_far_apart_do_not() -> None:
    assert not _with("a", 0.0, 500.0, 1000.0).confines("a", 1000.0)


def test_all_who_have_no_key_are_not_confined_for_each_other() -> None:
    assert not _with("", 0.0, 1.0, 2.0).confines("", 3.0)


def test_a_confined_key_has_every_pair_scored_alone_and_nobody_else_has() -> None:
    quarantine = Quarantine(b"key")
    for number in range(3):
        assert not quarantine.knows_any([("q", "harmless")], 1.0, "a")
        quarantine.refuse("q", str(number), 1.0, "a")
    assert quarantine.knows_any([("q", "harmless")], 1.0, "a")
    assert not quarantine.knows_any([("q", "harmless")], 1.0, "b")
    assert not quarantine.knows_any([("q", "harmless")], 1.0)
    assert quarantine.confined(1.0) == ("a",)
