"""Down fast, up slowly, never over what it was."""

from shards.budget import TokenBudget


def _raises(budget: TokenBudget, batches: int) -> int:
    for _ in range(batches):
        budget.fitted()
    return budget.tokens


def test_a_batch_that_does_not_fit_halves_the_budget_to_below_it() -> None:
    budget = TokenBudget(4096)
    budget.did_not_fit(4000)
    assert budget.tokens == 2000
    budget.did_not_fit(3)
    budget.did_not_fit(1)
    assert budget.tokens == 1


def test_it_comes_back_slowly_and_not_further_than_it_was() -> None:
    budget = TokenBudget(4096)
    assert _raises(budget, 1000) == 4096
    budget.did_not_fit(4096)
    assert _raises(budget, 99) == 2048
    assert _raises(budget, 1) == 2048 + 256
    assert _raises(budget, 10_000) == 4096


def test_another_failure_starts_the_count_anew() -> None:
    budget = TokenBudget(4096)
    budget.did_not_fit(4096)
    _raises(budget, 99)
    budget.did_not_fit(2048)
    assert _raises(budget, 99) == 1024


def test_a_first_budget_grows_to_the_whole_one() -> None:
    budget = TokenBudget(1600, first_tokens=800)
    assert budget.tokens == 800
    for _ in range(100):
        budget.fitted()
    assert budget.tokens == 900
    for _ in range(100_000):
        budget.fitted()
    assert budget.tokens == 1600
    assert TokenBudget(1600, first_tokens=5000).tokens == 1600
