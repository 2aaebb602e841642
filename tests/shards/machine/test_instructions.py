"""The variable that limits the instructions of a shard."""

import pytest

from shards.machine.instructions import (
    AMX,
    AVX2,
    AVX512,
    LIMIT,
    WrongLimit,
    limit_libraries,
    limit_of,
    lower,
)


def test_nothing_is_limited_without_the_variable() -> None:
    environ: dict[str, str] = {}
    limit_libraries(environ)
    assert environ == {}
    assert limit_of(environ) == limit_of({LIMIT: ""}) == AMX


def test_libraries_obey_the_limit_unless_they_have_one_of_their_own() -> None:
    environ = {LIMIT: AVX2, "ONEDNN_MAX_CPU_ISA": "SSE41"}
    limit_libraries(environ)
    assert environ["ATEN_CPU_CAPABILITY"] == "avx2"
    assert environ["ONEDNN_MAX_CPU_ISA"] == "SSE41"


def test_a_limit_that_is_none_is_rejected() -> None:
    with pytest.raises(
        WrongLimit, match="GATEWAY_CPU is 'avx3'; use one of amx, avx512-bf16, avx512-vnni, "
    ):
        limit_libraries({LIMIT: "avx3"})


def test_the_lower_one_of_two_limits_counts() -> None:
    assert lower(AVX2, AVX512) == lower(AVX512, AVX2) == AVX2
