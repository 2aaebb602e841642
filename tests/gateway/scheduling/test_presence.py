"""Loads and unloadings of a model, in times that are passed in."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduling.presence import Presence


def loaded(seconds: float = 2.0) -> Presence:
    presence = Presence(is_wanted=False)
    assert presence.want(0.0)
    assert presence.is_loaded(seconds) == seconds
    return presence


def test_a_model_leaves_when_it_had_no_request_for_its_idle_time() -> None:
    presence = loaded()
    presence.used(10.0)
    assert not presence.is_due(69.9, 60.0)
    assert presence.is_due(70.0, 60.0)
    assert not presence.is_due(1e9, 0.0), "0 seconds mean never"


def test_the_idle_time_begins_with_the_end_of_the_load() -> None:
    presence = loaded(100.0)
    assert not presence.is_due(101.0, 60.0)


def test_a_model_that_is_loading_or_not_wanted_is_never_due() -> None:
    presence = Presence(is_wanted=False)
    assert not presence.is_due(1e9, 1.0)
    presence.want(0.0)
    assert not presence.is_due(1e9, 1.0)


def test_a_request_cancels_the_unloading_by_the_operator() -> None:
    presence = loaded()
    presence.is_leaving = True
    assert not presence.want(3.0)
    assert not presence.is_leaving


def test_the_time_that_is_left_is_that_of_the_last_load() -> None:
    presence = Presence(is_wanted=False)
    presence.want(0.0)
    assert presence.seconds_left(1.0) == 0.0, "the first load has no estimate"
    presence.is_loaded(8.0)
    presence.leave()
    presence.want(100.0)
    assert presence.seconds_left(102.0) == 6.0
    assert presence.seconds_left(108.0) == 2.0, "it takes longer than the last one"
    assert presence.seconds_left(140.0) == 10.0
    presence.is_loaded(150.0)
    assert presence.seconds_left(150.0) == 0.0


def test_cold_requests_wait_until_the_model_is_loaded_or_they_leave() -> None:
    presence = Presence(is_wanted=False)
    presence.want(0.0)
    first, second = presence.arrive(1.0), presence.arrive(2.0)
    presence.depart(first, 4.0)
    presence.is_loaded(5.0)
    warm = presence.arrive(6.0)
    presence.depart(second, 9.0)
    presence.depart(warm, 9.0)
    assert (presence.cold_requests, presence.cold_seconds) == (2, 6.0)


def test_a_load_that_was_given_up_teaches_no_time() -> None:
    presence = loaded(2.0)
    presence.leave()
    presence.want(10.0)
    cold = presence.arrive(10.0)
    presence.end_load(11.0)
    presence.depart(cold, 12.0)
    assert presence.is_loaded(500.0) is None
    assert (presence.load_seconds, presence.cold_seconds) == (2.0, 1.0)


@given(st.lists(st.tuples(st.sampled_from(["want", "loaded", "leave", "wait"]), st.floats(0, 100))))
def test_any_course_counts_each_load_once(course: list[tuple[str, float]]) -> None:
    presence, now, begun = Presence(is_wanted=False), 0.0, 0
    for step, seconds in course:
        now += seconds
        if step == "want":
            begun += presence.want(now)
        elif step == "loaded":
            assert (presence.is_loaded(now) is not None) <= presence.is_wanted
        elif step == "leave":
            presence.leave()
        assert presence.seconds_left(now) >= 0
        assert not presence.is_due(now, 10.0) or presence.is_wanted
    assert presence.loads == begun
