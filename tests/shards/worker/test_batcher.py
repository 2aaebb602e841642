"""Batches fit the budget, hold little padding, and every pair leaves exactly once."""

from hypothesis import given
from hypothesis import strategies as st

from shards.pairs import Part, Prefix, TokenizedPair
from shards.worker.batcher import Batcher, TokenBudget, WaitingPair

_BUDGET = 1000


def _pair(job: int, index: int, tokens: int) -> WaitingPair:
    return WaitingPair(job, index, TokenizedPair([0] * tokens, tokens, truncated=False))


def _pairs(lengths: list[int], job: int = 1) -> list[WaitingPair]:
    return [_pair(job, index, length) for index, length in enumerate(lengths)]


def _empty(batcher: Batcher, open_jobs: set[int]) -> list[list[WaitingPair]]:
    batches = []
    while batch := batcher.next_batch(open_jobs):
        batches.append(batch)
    assert len(batcher) == 0
    return batches


@given(st.lists(st.integers(1, _BUDGET), max_size=200))
def test_every_pair_leaves_once_in_a_batch_that_fits(lengths: list[int]) -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs(lengths))
    batches = _empty(batcher, {1})
    assert all(max(map(len, batch)) * len(batch) <= _BUDGET for batch in batches)
    assert sorted(pair.index for batch in batches for pair in batch) == list(range(len(lengths)))


@given(st.lists(st.integers(_BUDGET // 10, _BUDGET), min_size=1, max_size=200))
def test_padding_stays_under_its_share(lengths: list[int]) -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs(lengths))
    for batch in _empty(batcher, {1}):
        cost = max(map(len, batch)) * len(batch)
        assert cost - sum(map(len, batch)) <= cost * 0.125


def test_pairs_of_several_jobs_share_a_batch() -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs([10, 10], job=1))
    batcher.add(_pairs([10, 10], job=2))
    (batch,) = _empty(batcher, {1, 2})
    assert {pair.job for pair in batch} == {1, 2}


def test_pairs_of_closed_jobs_are_dropped() -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs([10, 500], job=1))
    batcher.add(_pairs([10], job=2))
    batches = _empty(batcher, {2})
    assert [[pair.job for pair in batch] for batch in batches] == [[2]]


def test_later_pairs_do_not_overtake_a_window() -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs([900] * 8, job=1))
    first = batcher.next_batch({1, 2})
    batcher.add(_pairs([10], job=2))
    order = [pair.job for batch in [first, *_empty(batcher, {1, 2})] for pair in batch]
    assert order.index(2) > 3  # the window of four batches that was open is emptied first


def test_the_last_pairs_of_a_window_share_their_batch_with_the_next() -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs([100] * 41, job=1))
    first = batcher.next_batch({1, 2})
    batcher.add(_pairs([100] * 39, job=2))
    batches = [first, *_empty(batcher, {1, 2})]
    assert [len(batch) for batch in batches] == [10] * 8
    order = [(pair.job, pair.index) for batch in batches for pair in batch]
    assert order == sorted(order)  # of similar length, first come, first served


def test_the_last_pairs_share_a_batch_with_next_ones_of_similar_length() -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs([500] * 7 + [300, 200], job=1))  # fills a window
    batcher.add(_pairs([190, 800, 900, 200], job=2))
    sizes = [[len(pair) for pair in batch] for batch in _empty(batcher, {1, 2})]
    assert sizes == [[500, 500]] * 3 + [[500], [300], [200, 190], [900], [800], [200]]


def test_a_pair_over_the_budget_makes_a_batch_of_its_own() -> None:
    batcher = Batcher(TokenBudget(_BUDGET))
    batcher.add(_pairs([3 * _BUDGET, 10, 3 * _BUDGET]))
    assert [[len(pair) for pair in batch] for batch in _empty(batcher, {1})] == [
        [3 * _BUDGET],
        [3 * _BUDGET],
        [10],
    ]


def test_a_lowered_budget_holds_for_waiting_pairs() -> None:
    budget = TokenBudget(_BUDGET)
    batcher = Batcher(budget)
    batcher.add(_pairs([100] * 20))
    assert len(batcher.next_batch({1})) == 10
    budget.did_not_fit(_BUDGET)
    assert len(batcher.next_batch({1})) == 5


def test_without_waiting_pairs_there_is_no_batch() -> None:
    assert Batcher(TokenBudget(_BUDGET)).next_batch({1}) == []


def _sharing(job: int, lengths: list[int], shared: int) -> list[WaitingPair]:
    prefix = Prefix(tuple([job] * shared), (shared,))
    tokens = [[job] * shared + [0] * length for length in lengths]
    pairs = [TokenizedPair(ids, len(ids), truncated=False, prefix=prefix) for ids in tokens]
    return [WaitingPair(job, index, pair) for index, pair in enumerate(pairs)]


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 3)), max_size=100))
def test_a_packed_batch_counts_every_token_once(pairs: list[tuple[int, int]]) -> None:
    batcher = Batcher(TokenBudget(_BUDGET), packed=True)
    for job in (1, 2, 3):
        batcher.add(
            _sharing(job, [length for length, of_job in pairs if of_job == job], shared=200)
        )
    batches = _empty(batcher, {1, 2, 3})
    assert sum(map(len, batches)) == len(pairs)
    for batch in batches:
        prefixes = {waiting.job for waiting in batch}
        cost = sum(waiting.own_tokens for waiting in batch) + 200 * len(prefixes)
        assert cost <= _BUDGET


def test_pairs_of_unlike_lengths_share_a_packed_batch() -> None:
    batcher = Batcher(TokenBudget(_BUDGET), packed=True)
    batcher.add(_sharing(1, [600, 5, 80, 1], shared=300))
    (batch,) = _empty(batcher, {1})
    assert [waiting.own_tokens for waiting in batch] == [600, 80, 5, 1]


def _own(batches: list[list[WaitingPair]]) -> list[list[int]]:
    return [[waiting.own_tokens for waiting in batch] for batch in batches]


def _empty_caching(batcher: Batcher, open_jobs: set[int]) -> list[list[WaitingPair]]:
    """Return all batches of a shard whose engine caches every prefix."""
    cached: set[Part] = set()
    batches = []
    while batch := batcher.next_batch(open_jobs, cached):
        batches.append(batch)
        cached.update(part for waiting in batch for part in waiting.pair.parts)
    return batches


def test_a_cached_prefix_costs_nothing() -> None:
    batcher = Batcher(TokenBudget(_BUDGET), packed=True)
    batcher.add(_sharing(1, [100] * 25, shared=700))
    assert [len(batch) for batch in _empty_caching(batcher, {1})] == [3, 10, 10, 2]


def test_documents_fill_the_remainder_of_a_prefix_over_the_budget() -> None:
    batcher = Batcher(TokenBudget(_BUDGET), packed=True)
    batcher.add(_sharing(1, [100] * 20, shared=2400))
    assert [len(batch) for batch in _empty_caching(batcher, {1})] == [6, 10, 4]


def test_a_prefix_over_the_budget_is_computed_with_nothing_else() -> None:
    batcher = Batcher(TokenBudget(_BUDGET), packed=True)
    batcher.add(_sharing(1, [100] * 3, shared=500))
    batcher.add(_sharing(2, [100] * 3, shared=2400))
    batches = _empty_caching(batcher, {1, 2})
    assert [[waiting.job for waiting in batch] for batch in batches] == [[1] * 3, [2] * 3]


def test_only_the_uncached_parts_of_a_prefix_cost() -> None:
    first, second = Prefix((1,) * 600, (500, 600)), Prefix((1,) * 500 + (2,) * 100, (500, 600))
    batcher = Batcher(TokenBudget(_BUDGET), packed=True)
    for job, prefix in enumerate((first, second)):
        pairs = [TokenizedPair([*prefix.token_ids, *[0] * 100], 700, False, prefix)] * 2
        batcher.add(WaitingPair(job, index, pair) for index, pair in enumerate(pairs))
    assert _own(_empty_caching(batcher, {0, 1})) == [[100] * 3, [100]]  # 500 + 2 * 100 + 3 * 100


def test_pairs_with_the_same_prefix_go_one_after_the_other() -> None:
    batcher = Batcher(TokenBudget(_BUDGET), packed=True)
    first, second = (_sharing(job, [300, 200, 250, 100], shared=100) for job in (1, 2))
    batcher.add(waiting for both in zip(first, second, strict=True) for waiting in both)
    batches = _empty_caching(batcher, {1, 2})
    jobs = [waiting.job for batch in batches for waiting in batch]
    assert jobs == [1, 1, 1, 1, 2, 2, 2, 2]
    assert _own(batches) == [[300, 250, 200, 100], [300, 250, 200, 100]]


def _after(budget: TokenBudget, batches: int) -> int:
    for _ in range(batches):
        budget.fitted()
    return budget.tokens


def test_a_batch_that_does_not_fit_halves_the_budget() -> None:
    budget = TokenBudget(4096)
    budget.did_not_fit(4000)
    assert budget.tokens == 2000
    budget.did_not_fit(3)
    budget.did_not_fit(1)
    assert budget.tokens == 1


def test_the_budget_grows_slowly_up_to_its_full_size() -> None:
    budget = TokenBudget(4096)
    assert _after(budget, 1000) == 4096
    budget.did_not_fit(4096)
    assert _after(budget, 99) == 2048
    assert _after(budget, 1) == 2048 + 256
    assert _after(budget, 10_000) == 4096


def test_another_failure_starts_the_count_anew() -> None:
    budget = TokenBudget(4096)
    budget.did_not_fit(4096)
    _after(budget, 99)
    budget.did_not_fit(2048)
    assert _after(budget, 99) == 1024


def test_a_first_budget_grows_to_the_full_one() -> None:
    budget = TokenBudget(1600, first_tokens=800)
    assert budget.tokens == 800
    for _ in range(100):
        budget.fitted()
    assert budget.tokens == 900
    for _ in range(100_000):
        budget.fitted()
    assert budget.tokens == 1600
    assert TokenBudget(1600, first_tokens=5000).tokens == 1600
