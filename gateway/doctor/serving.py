"""What is configured: its errors, its port, its models and where they lie."""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.config import ConfigError, ModelSpec, Settings
from gateway.config.specs import resolve
from gateway.doctor.finding import Finding, bad, good, note

_GIB = 1 << 30
_MOST_OF_MEMORY = 0.8


def problem_findings(error: ConfigError) -> Iterator[Finding]:
    """Yield every error of a configuration."""
    for one in error.problems:
        where = ": ".join(part for part in (one.origin, one.key) if part)
        yield bad("configuration", f"{where}: {one.message}", one.remedy)


def model_findings(
    settings: Settings, specs: tuple[ModelSpec, ...], available: int | None
) -> Iterator[Finding]:
    """Yield where each model lies, and whether all of them fit into memory together.

    Args:
        available: bytes of memory, if known. Weights on GPUs pass through it one after the other.
    """
    needed = 0
    for spec in specs:
        folder = _folder(spec.source)
        yield _model(spec.name, spec.source, folder, offline=settings.offline)
        on_cpu = sum(shard.device == "cpu" for shard in spec.shards)
        needed += on_cpu * (_weights(folder) if folder else 0)
    if available is not None and needed > _MOST_OF_MEMORY * available:
        yield bad(
            "memory for models",
            f"weights of {needed / _GIB:.1f} GiB on CPUs, {available / _GIB:.1f} GiB available",
            'fewer replicas, dtype = "bf16" or "int8", or smaller models',
        )


def _folder(source: str) -> Path | None:
    """Return where a model lies on this machine, if it does."""
    folder = Path(resolve(source)).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(source, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _model(name: str, source: str, folder: Path | None, *, offline: bool) -> Finding:
    title = f"model {name}"
    if folder is None:
        return _absent(title, source, offline=offline)
    if not (folder / "config.json").is_file():
        return bad(title, f"{folder} has no config.json", "name the folder that holds the model")
    if not _weight_files(folder):
        return bad(
            title,
            f"{folder} has no *.safetensors and no *.onnx",
            "pickled weights can run code and are not loaded: look for a converted copy",
        )
    if not (folder / "tokenizer.json").is_file():
        return note(title, f"{folder} has no tokenizer.json", "one is made from its other files")
    return good(title, f"{_weights(folder) / 1e6:,.0f} MB in {folder}")


def _absent(title: str, source: str, *, offline: bool) -> Finding:
    if source.startswith(("/", ".", "~")):
        return bad(title, f"there is no folder {source}", "mount it, or correct `source`")
    fetch = f"gateway download {source}"
    if offline or os.environ.get("HF_HUB_OFFLINE") == "1":
        return bad(title, f"{source} is not in the cache, and the hub is not asked", fetch)
    return note(title, f"{source} is not in the cache: the first start fetches it", fetch)


def _weights(folder: Path) -> int:
    return sum(file.stat().st_size for file in _weight_files(folder))


def _weight_files(folder: Path) -> list[Path]:
    """Return what is read of a folder; of exported graphs the largest, for only one of them serves."""
    graphs = [*folder.glob("*.onnx*"), *folder.glob("onnx/*.onnx*")]
    largest = sorted(graphs, key=lambda file: file.stat().st_size)[-1:]
    return list(folder.glob("*.safetensors")) or largest


def port_finding(host: str, port: int, problem: str) -> Finding:
    """Return whether the address can be listened on; `problem` says why not."""
    if problem:
        return bad("port", problem, "`gateway status` tells whether a gateway has it already")
    return good("port", f"{port} on {host} is free" if port else "any free one")


def cache_finding(folder: Path) -> Finding:
    """Return whether models from the hub can be kept."""
    writable = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if os.access(writable, os.W_OK):
        return good("hub cache", str(folder))
    return note("hub cache", f"{folder} cannot be written", "set HF_HOME, or use folders")
