"""Which of two engines that score the same serves: the one that is faster here, measured."""

import time
from collections.abc import Sequence

from shards.engines.base import Engine
from shards.pairs import Batch, EncodedPair

_LENGTHS = (48, 160, 96, 128)  # tokens; unlike, as pairs are
_ROUNDS = 2
_TOKEN = 5


def faster(first: Engine, second: Engine) -> tuple[Engine, str]:
    """Return the faster engine, and what was measured; both score the same pairs in turn."""
    engines = (first, second)
    batch = _batch(min(engine.facts.max_length for engine in engines))
    best = [float("inf")] * 2
    for _ in range(_ROUNDS + 1):  # the first round warms up
        for at, engine in enumerate(engines):
            best[at] = min(best[at], _seconds(engine, batch))
    winner, loser = engines if best[0] <= best[1] else engines[::-1]
    gain = max(best) / min(best)
    said = (
        f"engine {winner.facts.engine} in {winner.facts.dtype} measured {gain:.1f} times as fast as "
        f"{loser.facts.engine} in {loser.facts.dtype}"
    )
    return winner, said


def _batch(max_length: int) -> Sequence[EncodedPair]:
    lengths = [min(length, max_length) for length in _LENGTHS]
    return [EncodedPair([_TOKEN] * length, length // 3, False) for length in lengths]


def _seconds(engine: Engine, batch: Batch) -> float:
    started = time.perf_counter()
    engine.score(batch)
    return time.perf_counter() - started
