"""Ejections, their length, and the share of replicas that come back."""

from gateway.supervision.outlier_detection import EjectionPolicy, OutlierDetector, Trust

_POLICY = EjectionPolicy(first_seconds=10.0)


def trusted() -> OutlierDetector:
    """Return a replica that has been ready for long."""
    outliers = OutlierDetector(_POLICY)
    outliers.record_start(0.0)
    assert outliers.trust(100.0) is Trust.FULL
    return outliers


def err(outliers: OutlierDetector, now: float, times: int = 1, *, may_eject: bool = True) -> bool:
    ejected = [
        outliers.record_error(outliers.current_streak(), now, may_eject=may_eject)
        for _ in range(times)
    ]
    return True in ejected


def answer(outliers: OutlierDetector, times: int) -> None:
    for _ in range(times):
        outliers.record_answer()


def test_five_errors_in_a_row_eject() -> None:
    outliers = trusted()
    assert not err(outliers, 100.0, times=4)
    assert err(outliers, 100.0)
    assert outliers.trust(100.0) is Trust.EJECTED
    assert outliers.ejection_seconds_left(104.0) == 6.0
    assert (outliers.errors, outliers.ejections) == (5, 1)


def test_errors_in_a_row_count_as_such_however_late_they_are_confirmed() -> None:
    outliers = trusted()
    streaks = [outliers.current_streak() for _ in range(5)]
    ejected = []
    for streak in streaks:
        answer(outliers, 30)
        ejected.append(outliers.record_error(streak, 100.0, may_eject=True))
    assert ejected == [False] * 4 + [True]


def test_errors_with_a_right_answer_in_between_are_not_in_a_row() -> None:
    outliers = trusted()
    streaks = []
    for _ in range(9):
        streaks.append(outliers.current_streak())
        answer(outliers, 1)
    for streak in streaks:
        assert not outliers.record_error(streak, 100.0, may_eject=True)
        answer(outliers, 5)  # so that they are no fifth of the answers either


def test_errors_of_the_last_process_do_not_count_against_the_new_one() -> None:
    outliers = trusted()
    streaks = [outliers.current_streak() for _ in range(9)]
    outliers.record_start(101.0)
    assert not any(outliers.record_error(streak, 101.0, may_eject=True) for streak in streaks)
    assert not err(outliers, 101.0, times=4)
    assert err(outliers, 101.0)


def test_scattered_errors_eject_by_their_share() -> None:
    outliers = trusted()
    for turn in range(4):
        answer(outliers, 3)
        assert not err(outliers, 100.0 + turn)
    answer(outliers, 3)
    assert err(outliers, 104.0)  # the fifth of the last twenty


def test_a_fifth_of_the_answers_is_forgiven() -> None:
    outliers = trusted()
    for turn in range(100):
        answer(outliers, 4)
        assert not err(outliers, 100.0 + turn)


def test_a_replica_that_must_not_be_ejected_is_not() -> None:
    outliers = trusted()
    assert not err(outliers, 100.0, times=50, may_eject=False)
    assert outliers.trust(200.0) is Trust.FULL


def test_a_replica_is_probed_after_its_ejection() -> None:
    outliers = trusted()
    err(outliers, 100.0, times=5)
    assert outliers.trust(109.9) is Trust.EJECTED
    assert outliers.trust(110.0) is Trust.PROBED
    answer(outliers, 2)
    assert outliers.trust(120.0) is Trust.PROBED
    answer(outliers, 1)
    assert outliers.trust(120.0) is Trust.FULL


def test_one_error_while_probed_ejects_for_twice_as_long() -> None:
    outliers = trusted()
    err(outliers, 0.0, times=5)
    now = 0.0
    for seconds in (10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        assert outliers.ejection_seconds_left(now) == seconds
        now += seconds
        assert outliers.is_probed(now)
        assert err(outliers, now)


def test_late_errors_of_jobs_inside_do_not_lengthen_an_ejection() -> None:
    outliers = trusted()
    err(outliers, 100.0, times=5)
    assert not err(outliers, 101.0, times=20)
    assert outliers.ejection_seconds_left(101.0) == 9.0


def test_past_ejections_are_forgiven_after_twenty_right_answers() -> None:
    outliers = trusted()
    err(outliers, 0.0, times=5)
    answer(outliers, 20)
    err(outliers, 50.0, times=5)
    assert outliers.ejection_seconds_left(50.0) == 10.0


def test_a_new_process_is_not_blamed_for_the_old_one() -> None:
    outliers = trusted()
    err(outliers, 100.0, times=5)
    outliers.record_start(101.0)
    assert outliers.trust(101.0) is Trust.STARTING
    assert not err(outliers, 101.0, times=4)


def test_the_share_of_a_new_replica_grows_within_ten_seconds() -> None:
    outliers = OutlierDetector(_POLICY)
    outliers.record_start(100.0)
    assert [outliers.share(100.0 + age) for age in (0, 4, 10, 1000)] == [0.25, 0.55, 1.0, 1.0]


def test_a_replica_that_fails_fast_gets_less_however_idle_it_is() -> None:
    outliers = trusted()
    err(outliers, 100.0)
    assert outliers.share(100.0) == 0.5
    outliers.record_crash(101.0)
    assert outliers.share(102.0) == 1 / 3
    assert outliers.share(110.5) == 0.5
    assert outliers.share(111.5) == 1.0
