"""The table of transitions, and the restart policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.supervision.lifecycle import (
    COMING,
    HAS_PROCESS,
    TRANSITIONS,
    Event,
    IllegalTransition,
    RestartPolicy,
    State,
    after,
)

_TO_READY = [Event.START, Event.LOADS, Event.WARMS, Event.UP]
_SEQUENCES = [
    ([Event.START, Event.LOADS, Event.LOADS, Event.WARMS, Event.UP], State.READY),
    ([Event.START, Event.LOADS, Event.WARMS, Event.UP, Event.LOST], State.BACKOFF),
    ([*_TO_READY, Event.STALL], State.SUSPECT),
    ([*_TO_READY, Event.STALL, Event.MOVE], State.READY),
    ([*_TO_READY, Event.STALL, Event.LOST], State.BACKOFF),
    ([Event.START, Event.LOST, Event.START], State.STARTING),
    ([Event.START, Event.LOADS, Event.REFUSED], State.FAILED),
    ([Event.START, Event.LOST, Event.GIVE_UP], State.FAILED),
    ([Event.START, Event.LOST, Event.GIVE_UP, Event.START], State.STARTING),
    ([*_TO_READY, Event.STUCK], State.FAILED),
    ([*_TO_READY, Event.DRAIN, Event.STUCK, Event.GONE], State.BACKOFF),
    ([*_TO_READY, Event.STALL, Event.STUCK, Event.DRAIN], State.STOPPED),
    ([Event.START, Event.LOADS, Event.DRAIN, Event.WARMS, Event.UP, Event.LOST], State.STOPPED),
    ([Event.START, Event.LOST, Event.DRAIN], State.STOPPED),
]


@pytest.mark.parametrize(("events", "end"), _SEQUENCES)
def test_sequences_of_events(events: list[Event], end: State) -> None:
    state = State.STOPPED
    for event in events:
        state = after(state, event)
    assert state is end


def test_every_state_has_a_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for row in TRANSITIONS.values() for state in row.values()} == set(State)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_what_is_not_in_the_table_raises(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert after(state, event) in State
    else:
        with pytest.raises(IllegalTransition, match=f"{event.name} in {state.name}"):
            after(state, event)


@given(st.lists(st.sampled_from(Event), max_size=50))
def test_no_sequence_of_events_leads_to_a_dead_end(events: list[Event]) -> None:
    """An illegal event changes nothing, and no sequence leads to a dead end."""
    state = State.STOPPED
    for event in events:
        before = state
        try:
            state = after(state, event)
        except IllegalTransition:
            assert event not in TRANSITIONS[before]
            assert state is before
    assert TRANSITIONS[state]
    assert Event.START in TRANSITIONS[state] or state in HAS_PROCESS


@pytest.mark.parametrize("state", [state for state in State if state in HAS_PROCESS])
def test_a_process_may_end_whenever_there_is_one(state: State) -> None:
    assert after(state, Event.LOST) not in HAS_PROCESS


@pytest.mark.parametrize("state", [state for state in State if state in HAS_PROCESS])
def test_a_process_that_does_not_end_has_failed_until_it_is_gone(state: State) -> None:
    assert after(state, Event.STUCK) is State.FAILED
    assert after(State.FAILED, Event.GONE) is State.BACKOFF


@pytest.mark.parametrize("state", State)
def test_every_shard_can_be_stopped(state: State) -> None:
    """From each state, DRAIN and the end of the process lead to STOPPED."""
    while state not in (State.STOPPED, State.DRAINING):
        state = after(state, Event.DRAIN)
    if state is State.DRAINING:
        state = after(state, Event.LOST)
    assert state is State.STOPPED


def test_exactly_the_states_with_a_process_can_lose_it() -> None:
    assert {state for state in State if Event.LOST in TRANSITIONS[state]} == HAS_PROCESS


def test_a_coming_shard_becomes_ready_by_itself() -> None:
    """From a coming state READY is reached by the shard's own events and the timer's START."""
    for state in COMING:
        for event in (*_TO_READY, Event.MOVE):
            state = TRANSITIONS[state].get(event, state)
        assert state is State.READY


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_grows_and_is_bounded(losses: int, spread: float) -> None:
    policy = RestartPolicy(first_seconds=0.5, longest_seconds=60)
    wait = policy.wait_seconds(losses, spread)
    assert 0.4 <= wait <= 72
    assert policy.wait_seconds(losses + 1, spread) >= wait


def test_the_wait_doubles() -> None:
    policy = RestartPolicy(first_seconds=0.5, longest_seconds=60)
    waits = [policy.wait_seconds(losses, 0.5) for losses in (1, 2, 3, 4, 20)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 60.0]


def test_a_crash_loop_is_more_losses_than_allowed_within_the_window() -> None:
    policy = RestartPolicy(crash_limit=3, crash_window_seconds=10)
    assert not policy.is_crash_loop([1, 2, 3], now=4)
    assert policy.is_crash_loop([1, 2, 3, 4], now=5)
    assert not policy.is_crash_loop([1, 2, 3, 4], now=11.5)
