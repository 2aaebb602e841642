"""The tiers of instructions, and the variable that limits them. Standard library only.

A limit concerns the whole shard: PyTorch's and oneDNN's own kernels as well as those of
`shards.native`, so that a machine with AVX-512 can measure and test what one without it would do.
"""

from collections.abc import Mapping, MutableMapping

LIMIT = "GATEWAY_CPU"
"""The variable that names the best instructions to use."""

AVX512 = "avx512-bf16"
AVX2 = "avx2"

_OF_LIBRARIES: Mapping[str, Mapping[str, str]] = {
    AVX512: {},
    AVX2: {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}


class WrongLimit(ValueError):
    """A limit that names no tier."""


def limit_of(environ: Mapping[str, str]) -> str:
    """Return the best tier that may be used.

    Raises:
        WrongLimit: the variable names another one.
    """
    limit = environ.get(LIMIT) or AVX512
    if limit not in _OF_LIBRARIES:
        known = ", ".join(_OF_LIBRARIES)
        raise WrongLimit(f"{LIMIT} is {limit!r}; use one of {known}, or unset it")
    return limit


def limit_libraries(environ: MutableMapping[str, str]) -> None:
    """Set the variables by which PyTorch and oneDNN obey the limit, before they are imported.

    Variables that are set already stay as they are.

    Raises:
        WrongLimit: see `limit_of`.
    """
    for name, value in _OF_LIBRARIES[limit_of(environ)].items():
        environ.setdefault(name, value)
