"""The breaker opens after failures in a row, and at once for those that stay."""

from gateway.serving.score_cache.stores.breaker import Breaker


def test_only_failures_in_a_row_open_it() -> None:
    breaker = Breaker(3)
    for outcome in (breaker.fail, breaker.fail):
        outcome("slow")
    breaker.succeed()
    breaker.fail("slow")
    breaker.fail("slow")
    assert not breaker.is_open
    breaker.fail("slower")
    assert (breaker.is_open, breaker.reason, breaker.opened) == (True, "slower", 1)


def test_a_success_closes_it() -> None:
    breaker = Breaker()
    breaker.open("gone")
    breaker.open("still gone")
    assert (breaker.reason, breaker.opened) == ("still gone", 1)
    breaker.succeed()
    assert not breaker.is_open
    breaker.open("gone again")
    assert breaker.opened == 2
