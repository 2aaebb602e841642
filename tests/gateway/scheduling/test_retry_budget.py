"""The lost jobs that are scored again, and those beyond the budget."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduling.retry_budget import WINDOW_SECONDS, RetryBudget, RetryPolicy

_POLICY = RetryPolicy(share=0.2, per_second=1.0)
_FLOOR = int(WINDOW_SECONDS)


def _taken(budget: RetryBudget, now: float, tries: int = 1000) -> int:
    return sum(budget.take(now) for _ in range(tries))


def test_a_few_are_scored_again_even_without_other_jobs() -> None:
    assert _taken(RetryBudget(_POLICY, replicas=1), now=100.0) == _FLOOR
    assert _taken(RetryBudget(_POLICY, replicas=3), now=100.0) == 3 * _FLOOR


def test_beside_these_a_share_of_all_jobs() -> None:
    budget = RetryBudget(_POLICY, replicas=1)
    for _ in range(100):
        budget.add_job(100.0)
    assert _taken(budget, 100.0) == _FLOOR + 20


def test_a_full_replica_can_be_lost_without_a_failed_job() -> None:
    budget = RetryBudget(RetryPolicy(), replicas=1)
    assert _taken(budget, now=0.0, tries=64) == 64


def test_events_of_ten_seconds_ago_do_not_count() -> None:
    budget = RetryBudget(_POLICY, replicas=1)
    assert _taken(budget, 100.0) == _FLOOR
    assert _taken(budget, 105.0) == 0
    assert _taken(budget, 112.0) == _FLOOR


def test_spent_and_refused_are_counted() -> None:
    budget = RetryBudget(_POLICY, replicas=1)
    _taken(budget, 100.0, tries=_FLOOR + 5)
    assert (budget.spent, budget.refused) == (_FLOOR, 5)


def test_second_opinions_leave_half_for_lost_jobs() -> None:
    budget = RetryBudget(_POLICY, replicas=1)
    assert sum(budget.take_to_doubt(100.0) for _ in range(100)) == _FLOOR // 2
    assert budget.refused == 0
    assert _taken(budget, 100.0) == _FLOOR - _FLOOR // 2


@given(st.lists(st.tuples(st.floats(0, 60), st.booleans()), max_size=300))
def test_retries_within_ten_seconds_never_exceed_share_and_floor(
    events: list[tuple[float, bool]],
) -> None:
    budget, jobs, retried = RetryBudget(_POLICY, replicas=1), [0.0] * 0, [0.0] * 0
    for now, is_loss in sorted(events):
        if not is_loss:
            budget.add_job(now)
            jobs.append(now)
        elif budget.take(now):
            retried.append(now)
        recent = sum(at > now - WINDOW_SECONDS for at in retried)
        recent_jobs = sum(at > now - WINDOW_SECONDS - 2 for at in jobs)
        assert recent <= _FLOOR + 0.2 * recent_jobs
