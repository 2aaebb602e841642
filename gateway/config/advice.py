"""Warnings about settings that are legal but look wrong on this machine.

They are no errors: a model that is missing today may be there tomorrow, and a broken model never
stops the others. So the gateway starts, and logs them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.config.calibrations import calibrations_of
from gateway.config.checks import is_loopback
from gateway.config.model_sections import ModelSettings
from gateway.config.settings import Settings
from gateway.config.specs import resolve
from gateway.supervision.machine import Machine
from gateway.supervision.placement import place
from shards.wire.gguf_file import gguf_files


def advice(settings: Settings, machine: Machine) -> list[str]:
    """Return one sentence per doubtful value, with its key."""
    return [
        *_keys(settings),
        *_traces(settings),
        *_calibrations(settings),
        *(
            f"models.{name}.{line}"
            for name, model in settings.models.items()
            for line in (*_source(model), *_devices(model, machine))
        ),
    ]


def _keys(settings: Settings) -> Iterator[str]:
    if settings.keys_file and settings.allow_unauthenticated:
        yield "allow_unauthenticated has no effect: there is a keys_file, so a key is required"
    if settings.keys_file and not settings.tls.certificate and not is_loopback(settings.host):
        yield (
            "tls: keys come over the network in the clear; name a certificate, or let a proxy "
            "do TLS"
        )


def _traces(settings: Settings) -> Iterator[str]:
    characters = settings.trace_text_characters
    if characters and settings.tracing:
        yield (
            f"trace_text_characters: spans carry up to {characters} characters of each query and "
            "document to their collector"
        )
    elif characters:
        yield "trace_text_characters has no effect: tracing is off"


def _calibrations(settings: Settings) -> Iterator[str]:
    for name in calibrations_of(settings).keys() - settings.models.keys():
        yield f"calibration_file: {settings.calibration_file} has {name!r}, which is not served"


def missing_folders(models: Iterable[ModelSettings]) -> list[str]:
    """Return the folders of models that are not there."""
    folders = (resolve(model.source) for model in models if model.engine != "fake")
    return [path for path in folders if path.startswith("/") and not Path(path).exists()]


def _source(model: ModelSettings) -> Iterator[str]:
    source = resolve(model.source)
    if model.engine == "fake":
        yield "engine: fake computes no relevance at all; it is for tests"
    elif not source.startswith("/"):
        if source.count("/") > 1:
            yield f"source: {source} is neither a folder here nor an id on the hub (OWNER/NAME)"
    elif gguf_files(Path(source)):
        return
    elif not Path(source).is_dir():
        yield f"source: there is no folder {source}; the model will be reported as failed"
    elif not (Path(source) / "config.json").is_file():
        yield f"source: {source} has no config.json; the model will be reported as failed"


def _devices(model: ModelSettings, machine: Machine) -> Iterator[str]:
    for name in model.devices:
        kind, _, number = name.partition(":")
        if kind == "cuda" and int(number or 0) >= machine.gpus:
            yield f"devices: {name} is configured, and {machine.gpus} CUDA devices are visible"
        if kind == "mps" and not machine.mps:
            yield "devices: mps is configured, and this is no Apple machine"
        if kind == "cpu" and int(number or 0) >= len(machine.sockets):
            yield f"devices: {name} is configured, and CPU sockets here: {len(machine.sockets)}"
    cores = {core for socket in machine.sockets for core in socket}
    slots = place(machine, model.devices, replicas=model.replicas, threads=model.threads)
    on_cpu = [slot for slot in slots if slot.device == "cpu"]
    if len(on_cpu) > len(cores):
        yield f"replicas: {len(on_cpu)} shards share {len(cores)} cores; they slow each other down"
    if sum(slot.threads for slot in on_cpu) > max(len(cores), len(on_cpu)):
        yield f"threads: more threads than the {len(cores)} cores; they slow each other down"
