"""The plan of memory: single decisions, its promises for any holdings, and a simulated month."""

import math
import random
from collections.abc import Iterable, Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.scheduling.memory_plan import Holding, Phase, Plan, Rules, plan
from tests.gateway.scheduling.memory_simulation import Kind, Machine

RULES = Rules(stay_seconds=20.0, cool_seconds=10.0, patience_seconds=10.0)
POOLS = ("machine", "cuda:0")


def holding(name: str, phase: Phase, size: int, **more: object) -> Holding:
    return Holding(name=name, phase=phase, sizes={"machine": size}, **more)  # type: ignore[arg-type]


def planned(budget: int, *holdings: Holding, now: float = 100.0) -> Plan:
    return plan({"machine": budget}, holdings, now, RULES)


def test_what_fits_is_loaded_in_the_order_of_arrival() -> None:
    found = planned(
        10,
        holding("a", "loaded", 4),
        holding("late", "waiting", 4, since=99.0),
        holding("early", "waiting", 4, since=98.0),
    )
    assert found.loads == ["early"]
    assert "late" in found.waits


def test_the_least_lately_used_idle_model_is_evicted_and_the_load_waits_until_it_is_gone() -> None:
    old, new = holding("old", "loaded", 5, last_use=1.0), holding("new", "loaded", 5, last_use=2.0)
    wanted = holding("wanted", "waiting", 5, since=100.0)
    found = planned(10, new, old, wanted)
    assert (found.evictions, found.loads, found.waits["wanted"].at) == (["old"], [], 100.0)
    leaving = holding("old", "leaving", 5)
    found = planned(10, new, leaving, wanted)
    assert (found.evictions, found.loads, found.waits["wanted"].at) == ([], [], 100.0)
    assert planned(10, new, wanted).loads == ["wanted"]


def test_no_model_is_evicted_in_vain() -> None:
    small = holding("small", "loaded", 1, last_use=1.0)
    large = holding("large", "loaded", 9, last_use=2.0)
    assert planned(10, small, large, holding("w", "waiting", 5)).evictions == ["large"]
    busy = holding("large", "loaded", 9, is_busy=True)
    assert planned(10, small, busy, holding("w", "waiting", 5)).evictions == []


def test_a_model_stays_for_a_while_and_the_wait_says_how_long() -> None:
    fresh = holding("a", "loaded", 10, since=95.0)
    found = planned(10, fresh, holding("w", "waiting", 5, since=99.0))
    assert (found.evictions, found.waits["w"].at) == ([], 115.0)


def test_an_evicted_model_evicts_no_other_before_its_cooling_time() -> None:
    others = holding("a", "loaded", 10)
    cold = holding("w", "waiting", 5, since=99.0, evicted=95.0)
    found = planned(10, others, cold)
    assert (found.evictions, found.waits["w"].at) == ([], 105.0)
    assert planned(10, others, cold, now=105.0).evictions == ["a"]
    assert planned(20, others, cold).loads == ["w"], "free room needs no cooling time"


def test_a_model_with_work_makes_way_after_the_patience_of_another() -> None:
    busy = holding("a", "loaded", 10, is_busy=True)
    patient = holding("w", "waiting", 5, since=95.0)
    assert planned(10, busy, patient).yields == set()
    found = planned(10, busy, patient, now=105.0)
    assert (found.yields, found.evictions, found.waits["w"].at) == ({"a"}, [], None)
    fresh = holding("a", "loaded", 10, is_busy=True, since=90.0)
    assert planned(10, fresh, patient, now=105.0).yields == set()


def test_others_take_free_room_until_the_first_in_line_has_waited_for_long() -> None:
    busy = holding("a", "loaded", 6, is_busy=True)
    first, small = holding("w", "waiting", 8, since=95.0), holding("s", "waiting", 4, since=96.0)
    assert planned(10, busy, first, small).loads == ["s"]
    found = planned(10, busy, first, small, now=106.0)
    assert (found.loads, set(found.waits)) == ([], {"w", "s"})


def test_fixed_models_are_never_evicted_and_what_cannot_fit_beside_them_never_waits() -> None:
    fixed = holding("f", "loaded", 6, is_fixed=True)
    found = planned(10, fixed, holding("w", "waiting", 5), holding("v", "waiting", 3))
    assert found.waits["w"].is_for_ever
    assert (found.waits["w"].needed, found.waits["w"].holders) == (5, ("f",))
    assert found.loads == ["v"]


def test_a_new_revision_has_to_fit_beside_the_one_that_serves() -> None:
    old = holding("m#1", "loaded", 6, is_kept=True)
    new = holding("m#2", "waiting", 5, beside=frozenset({"m#1"}))
    found = planned(10, old, new, holding("v", "waiting", 6, since=1.0))
    assert found.evictions == []
    assert found.waits["m#2"].is_for_ever
    assert not found.waits["v"].is_for_ever, "the old one may go later"


def test_an_estimate_counts_as_what_there_is_at_most() -> None:
    fixed = holding("f", "loaded", 6, is_fixed=True)
    guess = holding("w", "waiting", 100, is_guess=True)
    assert planned(10, fixed, guess).loads == ["w"]
    assert planned(10, fixed, holding("b", "loaded", 1, is_busy=True), guess).loads == []
    certain = holding("w", "waiting", 100, is_guess=True, least={"machine": 5})
    assert planned(10, fixed, certain).waits["w"].is_for_ever


def test_a_model_that_may_not_evict_takes_free_room_alone() -> None:
    shadow = holding("w", "waiting", 5, may_evict=False)
    assert planned(10, holding("a", "loaded", 6), shadow).evictions == []
    assert planned(10, holding("a", "loaded", 5), shadow).loads == ["w"]


def test_more_than_the_budget_is_given_back_whatever_the_stay() -> None:
    fresh = holding("a", "loaded", 6, since=99.0, last_use=99.0)
    fresher = holding("b", "loaded", 6, since=99.5, last_use=99.5)
    assert planned(10, fresher, fresh).excess == ["a"]
    assert planned(10, fresher, holding("a", "leaving", 6)).excess == []


def test_each_pool_has_a_budget_and_a_pool_without_one_has_room_for_all() -> None:
    both = Holding(name="g", phase="waiting", sizes={"machine": 1, "cuda:0": 8})
    other = Holding(name="o", phase="loaded", sizes={"machine": 9, "cuda:0": 8}, last_use=1.0)
    host = Holding(name="h", phase="loaded", sizes={"machine": 5})
    found = plan({"machine": 20, "cuda:0": 10}, [host, other, both], 100.0, RULES)
    assert found.evictions == ["o"], "one that holds nothing of the GPU would be evicted in vain"
    assert plan({"machine": 20}, [host, other, both], 100.0, RULES).loads == ["g"]


@st.composite
def holdings(draw: st.DrawFn) -> list[Holding]:
    count = draw(st.integers(0, 8))
    return [
        Holding(
            name=str(number),
            phase=draw(st.sampled_from(["waiting", "loading", "loaded", "leaving"])),
            sizes={pool: draw(st.integers(0, 10)) for pool in POOLS},
            since=draw(st.floats(0, 100)),
            last_use=draw(st.floats(0, 100)),
            is_busy=draw(st.booleans()),
            is_fixed=draw(st.booleans()),
            is_kept=draw(st.booleans()),
            may_evict=draw(st.booleans()),
            is_guess=draw(st.booleans()),
            evicted=draw(st.sampled_from([-math.inf, 50.0, 95.0])),
        )
        for number in range(count)
    ]


def _held(found: list[Holding], pool: str) -> int:
    return sum(one.sizes[pool] for one in found if one.phase != "waiting")


@given(holdings(), st.integers(0, 30), st.integers(0, 30))
def test_the_promises_hold_for_any_holdings(found: list[Holding], host: int, gpu: int) -> None:
    budgets = dict(zip(POOLS, (host, gpu), strict=True))
    decided = plan(budgets, found, 100.0, RULES)
    by_name = {one.name: one for one in found}
    for name in decided.loads:
        assert by_name[name].phase == "waiting"
    for name in (*decided.evictions, *decided.excess, *decided.yields):
        assert by_name[name].phase == "loaded"
        assert not by_name[name].is_fixed
        assert not by_name[name].is_kept
    for name in (*decided.evictions, *decided.excess):
        assert not by_name[name].is_busy
    for name in (*decided.evictions, *decided.yields):
        assert by_name[name].since <= 80.0
    waiting = {one.name for one in found if one.phase == "waiting"}
    assert waiting == {*decided.loads, *decided.waits}
    assert len({*decided.evictions, *decided.excess}) == len(decided.evictions + decided.excess)
    loaded = [by_name[name] for name in decided.loads if not by_name[name].is_guess]
    for pool, budget in budgets.items():
        added = sum(one.sizes[pool] for one in loaded)
        assert not added or _held(found, pool) + added <= budget


@st.composite
def traffic(draw: st.DrawFn) -> list[tuple[float, str, float]]:
    count = draw(st.integers(1, 60))
    steps = [draw(st.floats(0, 5)) for _ in range(count)]
    now, found = 0.0, []
    for step in steps:
        now += step
        found.append((now, draw(st.sampled_from("abcd")), draw(st.floats(0.01, 8))))
    return found


KINDS = {
    "a": Kind(peak=6, resident=4, load_seconds=3.0),
    "b": Kind(peak=9, resident=6, load_seconds=5.0),
    "c": Kind(peak=3, resident=3, load_seconds=1.0),
    "d": Kind(peak=10, resident=10, load_seconds=8.0),
    "f": Kind(peak=3, resident=2, load_seconds=1.0, is_fixed=True),
}


@settings(deadline=None)
@given(traffic())
def test_every_request_is_answered_within_the_turns_of_the_others(
    requests: list[tuple[float, str, float]],
) -> None:
    machine = Machine(12, KINDS, RULES)
    machine.run(requests)
    assert len(machine.waits) == len(requests)
    assert machine.most_held <= 12
    assert machine.evicted_busy == 0
    # A turn: load, stay, the longest request, and the end of its process; three others go first.
    turn = 8.0 + RULES.stay_seconds + 8.0 + RULES.patience_seconds + RULES.cool_seconds
    assert max(machine.waits) <= 4 * turn


def test_two_models_that_are_never_idle_have_turns_where_one_fits() -> None:
    kinds = {name: Kind(peak=10, resident=10, load_seconds=2.0) for name in "ab"}
    requests = sorted((number / 4, name, 1.0) for number in range(4 * 3600) for name in "ab")
    machine = Machine(10, kinds, RULES)
    machine.run(requests)
    assert len(machine.waits) == len(requests)
    assert machine.evicted_busy == 0
    most = 3600 / RULES.stay_seconds + 1
    assert 30 <= machine.loads["a"] <= most
    assert 30 <= machine.loads["b"] <= most


_DAY = 86400


def _bursts(days: int, seed: int = 1) -> Iterator[tuple[float, str, float]]:
    """Yield days of bursts, dense for four hours of each; few of the models are asked often."""
    chance, now = random.Random(seed), 0.0
    names, weights = [f"m{number}" for number in range(20)], [1 / (1 + n) for n in range(20)]
    while now < days * _DAY:
        is_dense = 11 <= now % _DAY / 3600 < 15
        now += chance.expovariate(1 / (15 if is_dense else 400))
        (name,) = chance.choices(names, weights)
        for _ in range(chance.randint(1, 5)):
            yield now, name, chance.uniform(0.05, 2.0)
            now += chance.expovariate(2)


def _run(requests: Iterable[tuple[float, str, float]], rules: Rules) -> Machine:
    kinds = {f"m{number}": Kind(peak=3, resident=2, load_seconds=2.0) for number in range(20)}
    machine = Machine(9, kinds, rules)
    machine.run(requests)
    return machine


def test_a_month_of_bursts_loses_nothing_keeps_the_budget_and_does_not_thrash() -> None:
    machine = _run(_bursts(30), RULES)
    requests = sum(1 for _ in _bursts(30))
    assert requests > 50_000
    assert len(machine.waits) == requests
    assert (machine.most_held, machine.evicted_busy) == (9, 0)
    slots = 4  # of models that are loaded at a time
    assert machine.loads.total() <= slots * 30 * _DAY / RULES.stay_seconds
    assert machine.loads.total() <= requests / 4
    assert max(machine.waits) <= 90


def test_the_minimum_stay_prevents_a_load_for_each_request() -> None:
    """Six models are asked in turn, and four of them fit: the worst there is for what is oldest."""
    requests = [(float(number), f"m{number % 6}", 0.1) for number in range(900)]
    free = _run(requests, Rules(stay_seconds=0.0, cool_seconds=0.0, patience_seconds=0.0))
    calm = _run(requests, RULES)
    assert len(calm.waits) == len(requests)
    assert free.loads.total() == len(requests)
    assert calm.loads.total() <= len(requests) / 4
