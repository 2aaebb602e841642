"""Who is left out, for how long, and how much those may take who are let in again."""

from gateway.standing import EjectionPolicy, Standing, Trust

_POLICY = EjectionPolicy(first_seconds=10.0)


def trusted() -> Standing:
    """Return a replica that has been ready for long."""
    standing = Standing(_POLICY)
    standing.started(0.0)
    assert standing.trust(100.0) is Trust.FULL
    return standing


def err(standing: Standing, now: float, times: int = 1, *, may_eject: bool = True) -> bool:
    ejected = [standing.erred(standing.doubted(), now, may_eject=may_eject) for _ in range(times)]
    return True in ejected


def answer(standing: Standing, times: int) -> None:
    for _ in range(times):
        standing.answered()


def test_five_errors_in_a_row_and_it_is_left_out() -> None:
    standing = trusted()
    assert not err(standing, 100.0, times=4)
    assert err(standing, 100.0)
    assert standing.trust(100.0) is Trust.EJECTED
    assert standing.seconds_out(104.0) == 6.0
    assert (standing.errors, standing.ejections) == (5, 1)


def test_errors_that_came_in_a_row_are_one_however_late_they_are_known() -> None:
    standing = trusted()
    came = [standing.doubted() for _ in range(5)]
    known = []
    for row in came:
        answer(standing, 30)
        known.append(standing.erred(row, 100.0, may_eject=True))
    assert known == [False] * 4 + [True]


def test_errors_with_a_right_answer_in_between_are_not_in_a_row() -> None:
    standing = trusted()
    rows = []
    for _ in range(9):
        rows.append(standing.doubted())
        answer(standing, 1)
    for row in rows:
        assert not standing.erred(row, 100.0, may_eject=True)
        answer(standing, 5)  # so that they are no fifth of the answers either


def test_errors_of_the_last_process_that_are_known_late_are_its_own() -> None:
    standing = trusted()
    came = [standing.doubted() for _ in range(9)]
    standing.started(101.0)
    assert not any(standing.erred(row, 101.0, may_eject=True) for row in came)
    assert not err(standing, 101.0, times=4)
    assert err(standing, 101.0)


def test_errors_here_and_there_are_no_row_but_a_share() -> None:
    standing = trusted()
    for turn in range(4):
        answer(standing, 3)
        assert not err(standing, 100.0 + turn)
    answer(standing, 3)
    assert err(standing, 104.0)  # the fifth of the last twenty


def test_a_fifth_of_the_answers_is_forgiven() -> None:
    standing = trusted()
    for turn in range(100):
        answer(standing, 4)
        assert not err(standing, 100.0 + turn)


def test_who_may_not_be_left_out_is_not() -> None:
    standing = trusted()
    assert not err(standing, 100.0, times=50, may_eject=False)
    assert standing.trust(200.0) is Trust.FULL


def test_it_is_probed_before_it_is_trusted_again() -> None:
    standing = trusted()
    err(standing, 100.0, times=5)
    assert standing.trust(109.9) is Trust.EJECTED
    assert standing.trust(110.0) is Trust.PROBED
    answer(standing, 2)
    assert standing.trust(120.0) is Trust.PROBED
    answer(standing, 1)
    assert standing.trust(120.0) is Trust.FULL


def test_one_error_while_probed_and_it_is_left_out_twice_as_long() -> None:
    standing = trusted()
    err(standing, 0.0, times=5)
    now = 0.0
    for seconds in (10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        assert standing.seconds_out(now) == seconds
        now += seconds
        assert standing.is_probed(now)
        assert err(standing, now)


def test_late_errors_of_jobs_that_were_inside_do_not_count_twice() -> None:
    standing = trusted()
    err(standing, 100.0, times=5)
    assert not err(standing, 101.0, times=20)
    assert standing.seconds_out(101.0) == 9.0


def test_past_ejections_are_forgiven_after_twenty_good_answers() -> None:
    standing = trusted()
    err(standing, 0.0, times=5)
    answer(standing, 20)
    err(standing, 50.0, times=5)
    assert standing.seconds_out(50.0) == 10.0


def test_a_new_process_is_not_blamed_for_the_old_one() -> None:
    standing = trusted()
    err(standing, 100.0, times=5)
    standing.started(101.0)
    assert standing.trust(101.0) is Trust.STARTING
    assert not err(standing, 101.0, times=4)


def test_the_share_of_a_new_one_grows_within_ten_seconds() -> None:
    standing = Standing(_POLICY)
    standing.started(100.0)
    assert [standing.share(100.0 + age) for age in (0, 4, 10, 1000)] == [0.25, 0.55, 1.0, 1.0]


def test_whoever_fails_fast_gets_less_however_idle_it_is() -> None:
    standing = trusted()
    err(standing, 100.0)
    assert standing.share(100.0) == 0.5
    standing.died(101.0)
    assert standing.share(102.0) == 1 / 3
    assert standing.share(110.5) == 0.5
    assert standing.share(111.5) == 1.0
