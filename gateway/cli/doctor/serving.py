"""Findings about a configuration: its errors, its port, its models and their files."""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.doctor.finding import Finding, bad, good, note
from gateway.cli.models.reading import Reading, read_checkpoints
from gateway.config import ConfigError, ModelSpec, Settings
from gateway.config.specs import resolve
from shards.wire.gguf_file import gguf_files

_GIB = 1 << 30
_MOST_OF_MEMORY = 0.8


def problem_findings(error: ConfigError) -> Iterator[Finding]:
    """Yield every error of a configuration."""
    for problem in error.problems:
        place = ": ".join(part for part in (problem.origin, problem.key) if part)
        yield bad("configuration", f"{place}: {problem.message}", problem.remedy)


def model_findings(
    settings: Settings, specs: tuple[ModelSpec, ...], available: int | None
) -> Iterator[Finding]:
    """Yield a finding for each model, and one if not all of them fit into memory together.

    Args:
        settings: the configuration.
        specs: its models.
        available: bytes of memory, if known. Weights on GPUs pass through it one after the other.
    """
    needed = 0
    folders = {spec.name: folder_of(spec.source) for spec in specs}
    read = read_checkpoints([spec for spec in specs if _is_readable(folders[spec.name])])
    for spec in specs:
        folder = folders[spec.name]
        yield _model(spec, folder, read.get(spec.name, Reading()), offline=settings.offline)
        on_cpu = sum(shard.device == "cpu" for shard in spec.shards)
        needed += on_cpu * (_weights(folder) if folder else 0)
    if available is not None and needed > _MOST_OF_MEMORY * available:
        yield bad(
            "memory for models",
            f"weights of {needed / _GIB:.1f} GiB on CPUs, {available / _GIB:.1f} GiB available",
            'fewer replicas, dtype = "bf16" or "int8", or smaller models',
        )


def folder_of(source: str) -> Path | None:
    """Return the folder of a model on this machine, or its GGUF file, if it is here."""
    folder = Path(resolve(source)).expanduser()
    if folder.is_dir() or gguf_files(folder):
        return folder
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(source, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _is_readable(folder: Path | None) -> bool:
    """Return whether a folder has what each checkpoint has; a GGUF file has all of it."""
    if folder is None or gguf_files(folder):
        return folder is not None
    return (folder / "config.json").is_file() and bool(_weight_files(folder))


def _model(spec: ModelSpec, folder: Path | None, reading: Reading, *, offline: bool) -> Finding:
    title, source = f"model {spec.name}", spec.source
    if folder is None:
        return _absent(title, source, offline=offline)
    if gguf_files(folder):
        return _gguf(title, folder, reading)
    if not (folder / "config.json").is_file():
        return bad(title, f"{folder} has no config.json", "name the folder of the model")
    if not _weight_files(folder):
        return bad(
            title,
            f"{folder} has no *.safetensors and no *.onnx",
            "pickled weights can run code and are not loaded: look for a converted copy",
        )
    if reading.refused:
        return bad(title, reading.refused, "a shard would refuse it at its start")
    if not (folder / "tokenizer.json").is_file():
        return note(
            title, f"{folder} has no tokenizer.json", "the tokenizer is made from its other files"
        )
    return good(title, f"{_weights(folder) / 1e6:,.0f} MB in {folder}")


def _gguf(title: str, place: Path, reading: Reading) -> Finding:
    if reading.refused:
        return bad(title, reading.refused, "a shard would refuse it at its start")
    return good(title, f"{_weights(place) / 1e6:,.0f} MB in {place}")


def _absent(title: str, source: str, *, offline: bool) -> Finding:
    if source.startswith(("/", ".", "~")):
        return bad(title, f"there is no folder {source}", "mount it, or correct `source`")
    download = f"gateway download {source}"
    if offline or os.environ.get("HF_HUB_OFFLINE") == "1":
        return bad(title, f"{source} is not in the cache, and downloads are off", download)
    return note(title, f"{source} is not in the cache: the first start downloads it", download)


def _weights(folder: Path) -> int:
    return sum(file.stat().st_size for file in _weight_files(folder))


def _weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a folder; of exported graphs the largest, as only one serves."""
    if ggufs := gguf_files(folder):
        return ggufs[:1]
    graphs = [*folder.glob("*.onnx*"), *folder.glob("onnx/*.onnx*")]
    largest = sorted(graphs, key=lambda file: file.stat().st_size)[-1:]
    return list(folder.glob("*.safetensors")) or largest


def port_finding(host: str, port: int, problem: str) -> Finding:
    """Return a finding about the address; `problem` is the reason why it is not available."""
    if problem:
        return bad("port", problem, "`gateway status` shows whether a gateway has it already")
    return good("port", f"{port} on {host} is free" if port else "any free one")


def cache_finding(folder: Path) -> Finding:
    """Return a finding about the folder for models from the hub."""
    writable = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if os.access(writable, os.W_OK):
        return good("hub cache", str(folder))
    return note("hub cache", f"{folder} cannot be written", "set HF_HOME, or use folders")
