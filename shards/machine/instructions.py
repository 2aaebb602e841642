"""The tiers of instructions, and the variable that limits them. Standard library only.

A limit concerns the whole shard: PyTorch's and oneDNN's own kernels as well as those of
`shards.native`, so that a machine with the best instructions can measure and test what one without
them would do.
"""

from collections.abc import Mapping, MutableMapping

LIMIT = "GATEWAY_CPU"
"""The variable that names the best instructions to use."""

AMX = "amx"
AVX512 = "avx512-bf16"
AVX512_VNNI = "avx512-vnni"
AVX2_VNNI = "avx2-vnni"
AVX2 = "avx2"

TIERS: Mapping[str, str] = {
    AMX: "AVX-512 with BF16 and VNNI, and AMX",
    AVX512: "AVX-512 with BF16 and VNNI",
    AVX512_VNNI: "AVX-512 with VNNI",
    AVX2_VNNI: "AVX2 and AVX-VNNI",
    AVX2: "AVX2",
}
"""The instructions of each tier, in words, the best tier first."""

WIDE = frozenset({AMX, AVX512, AVX512_VNNI})
"""The tiers with kernels for all steps of a model; others have products in int8 alone."""

_OF_LIBRARIES: Mapping[str, Mapping[str, str]] = {
    AMX: {},
    AVX512: {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    AVX512_VNNI: {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
    AVX2_VNNI: {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI", "ATEN_CPU_CAPABILITY": "avx2"},
    AVX2: {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}


class WrongLimit(ValueError):
    """A limit that names no tier."""


def limit_of(environ: Mapping[str, str]) -> str:
    """Return the best tier that may be used.

    Raises:
        WrongLimit: the variable names another one.
    """
    limit = environ.get(LIMIT) or AMX
    if limit not in TIERS:
        raise WrongLimit(f"{LIMIT} is {limit!r}; use one of {', '.join(TIERS)}, or unset it")
    return limit


def lower(one: str, other: str) -> str:
    """Return the lower one of two tiers."""
    return max(one, other, key=list(TIERS).index)


def limit_libraries(environ: MutableMapping[str, str]) -> None:
    """Set the variables by which PyTorch and oneDNN obey the limit, before they are imported.

    Variables that are set already stay as they are.

    Raises:
        WrongLimit: see `limit_of`.
    """
    for name, value in _OF_LIBRARIES[limit_of(environ)].items():
        environ.setdefault(name, value)
