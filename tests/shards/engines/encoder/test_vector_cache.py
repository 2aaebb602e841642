"""The cache of vectors: what was kept is found, the bound holds, and faults are not kept."""

import torch

from shards.engines.encoder.vector_cache import VectorCache, text_key

_WIDTH = 1024  # 4 KiB, so that a MiB holds 240 of them


def _keys(*texts: int) -> list[bytes]:
    return [text_key([2, text, 3]) for text in texts]


def _vectors(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None].expand(-1, _WIDTH).contiguous()


def test_what_was_kept_is_found_in_the_order_that_is_asked_for() -> None:
    cache = VectorCache(1)
    assert cache.read(_keys(1, 2))[1] == [0, 1]
    cache.keep(_keys(1, 2, 3), _vectors(1.0, 2.0, 3.0))
    known, unknown = cache.read(_keys(3, 7, 1))
    assert known[:, 0].tolist() == [3.0, 1.0]
    assert unknown == [1]


def test_the_text_used_longest_ago_makes_room() -> None:
    cache = VectorCache(1)
    cache.keep(_keys(*range(240)), _vectors(*map(float, range(240))))
    assert len(cache) == 240
    cache.read(_keys(0))
    cache.keep(_keys(900), _vectors(900.0))
    known, unknown = cache.read(_keys(0, 1, 2, 900))
    assert known[:, 0].tolist() == [0.0, 2.0, 900.0]
    assert unknown == [1]


def test_many_texts_at_once_stay_within_the_bound() -> None:
    cache = VectorCache(1)
    cache.keep(_keys(*range(500)), _vectors(*map(float, range(500))))
    assert len(cache) == 240
    for text in range(500, 2000):
        cache.keep(_keys(text), _vectors(float(text)))
    assert len(cache) == 240
    assert cache.read(_keys(1999, 1760))[0][:, 0].tolist() == [1999.0, 1760.0]


def test_a_vector_that_is_no_number_is_not_kept() -> None:
    cache = VectorCache(1)
    cache.keep(_keys(1, 2), _vectors(float("nan"), 2.0))
    assert cache.read(_keys(1, 2))[1] == [0]


def test_without_memory_nothing_is_kept() -> None:
    cache = VectorCache(0)
    cache.keep(_keys(1), _vectors(1.0))
    assert cache.read(_keys(1))[1] == [0]
