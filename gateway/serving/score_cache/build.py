"""The code and the machine that compute scores, as a hash: a part of the identity of kept scores.

Two processes with one hash have the same sources of the shards, the same versions of the libraries,
CPUs with the same instructions, the same environment for the kernels, and the same kind of GPU.
"""

import contextlib
import hashlib
import os
import platform
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_LIBRARIES = (
    *("flash-attn", "mlx", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "safetensors"),
    *("tokenizers", "torch", "transformers", "triton"),
)
_SOURCES = frozenset({".py", ".c", ".h"})
_OTHERS = frozenset({"models", "__pycache__"})  # the files of a model have a fingerprint
_INSTRUCTIONS = re.compile(r"(avx|amx|fma|f16c|sse|neon|asimd|sve|sme|bf16|fp16|i8mm)", re.I)
_VARIABLES = (
    *("ATEN_", "CUBLAS_", "DNNL_", "GATEWAY_CPU", "MKL_", "NVIDIA_TF32", "ONEDNN_"),
    *("PYTORCH_", "TORCH"),
)


def build_of(
    device: str, root: Path = Path("/"), environ: Mapping[str, str] | None = None
) -> bytes:
    """Return the hash for a device, such as `cpu` or `cuda:0`.

    Args:
        device: the device of a shard.
        root: the folder of `proc`.
        environ: the environment of the shards; that of this process if `None`.
    """
    environ = os.environ if environ is None else environ
    digest = hashlib.blake2b(digest_size=32)
    for part in (_code(), *_libraries(), *_machine(root), *_environment(environ)):
        digest.update(part.encode() + b"\0")
    if not device.startswith("cpu"):
        digest.update("\0".join(_gpus(root)).encode())
    return digest.digest()


@cache
def _code() -> str:
    """Return a hash of the sources of the shards; they are read once, in some 20 ms."""
    shards = find_spec("shards")
    assert shards is not None and shards.submodule_search_locations is not None
    folder, digest = Path(next(iter(shards.submodule_search_locations))), hashlib.blake2b()
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        if file.suffix in _SOURCES and not _OTHERS.intersection(place.parts):
            digest.update(f"{place.as_posix()} ".encode())
            digest.update(hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


@cache
def _libraries() -> tuple[str, ...]:
    found = []
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return tuple(found)


@cache
def _machine(root: Path) -> tuple[str, ...]:
    """Return the kind of CPU, by its instructions: they decide which kernels run."""
    return f"{platform.system()} {platform.machine()}", *_instructions(root)


def _instructions(root: Path) -> Iterator[str]:
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            yield " ".join(sorted(flag for flag in value.split() if _INSTRUCTIONS.search(flag)))
            return


def _environment(environ: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(environ):
        if name.startswith(_VARIABLES):
            yield f"{name}={environ[name]}"


def _gpus(root: Path) -> list[str]:
    """Return the kinds of GPU; the name of the host where the driver does not show them."""
    texts = [_text(file) for file in (root / "proc/driver/nvidia/gpus").glob("*/information")]
    found = {model.strip() for text in texts for model in re.findall(r"Model:(.*)", text)}
    return sorted(found) or [platform.node()]


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
