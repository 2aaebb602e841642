"""What no single key can say: clashes between keys, impossible limits, an unguarded open port."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gateway.config.problems import Problem, shown, suggestion
from shards.wire.messages import MAX_JOB_BYTES

if TYPE_CHECKING:
    from gateway.config.settings import Settings

EMBEDDED_SOURCES = ("embedded:bert", "embedded:qwen3")


def cross_check(settings: Settings) -> list[Problem]:
    """Return every contradiction in settings whose single keys are fine."""
    return [problem for check in CHECKS for problem in check(settings)]


def _open_port(settings: Settings) -> Iterator[Problem]:
    if settings.keys_file or settings.allow_unauthenticated or is_loopback(settings.host):
        return
    yield Problem(
        path=("host",),
        message=f"{shown(settings.host)} can be reached from other machines, and there are no keys",
        remedy='Make a key (gateway key new NAME --keys-file keys.toml) and say keys_file = "keys.toml" '
        "(GATEWAY_KEYS_FILE), or say allow_unauthenticated = true "
        "(GATEWAY_ALLOW_UNAUTHENTICATED=true) if everyone who reaches it may use it",
    )


def _tls(settings: Settings) -> Iterator[Problem]:
    """A certificate and its key need each other."""
    tls = settings.tls
    for name, one, other in (
        ("key", tls.certificate, tls.key),
        ("certificate", tls.key, tls.certificate),
    ):
        if one and not other:
            yield Problem(
                path=("tls", name),
                message="is missing, and the other half of the pair is there",
                remedy="Name both tls.certificate and tls.key, or none",
            )


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _default_model(settings: Settings) -> Iterator[Problem]:
    if settings.model_name() is None and settings.default_model not in settings.splits:
        wanted = settings.default_model or ""
        yield Problem(
            path=("default_model",),
            message=f"{shown(wanted)} is not a model",
            remedy=suggestion(wanted, [*settings.models, *settings.splits]),
        )


def _shadows(settings: Settings) -> Iterator[Problem]:
    """A model is compared with another one."""
    for name, model in settings.models.items():
        if model.shadow is None:
            continue
        meant = settings.model_name(model.shadow.model)
        others = [other for other in settings.models if other != name]
        if meant == name:
            message = f"{shown(model.shadow.model)} is this model itself"
        elif meant is None:
            what = "a split" if model.shadow.model in settings.splits else "not a model"
            message = f"{shown(model.shadow.model)} is {what}"
        else:
            continue
        yield Problem(
            path=("models", name, "shadow", "model"),
            message=message,
            remedy=suggestion(model.shadow.model, others) if others else "Add a second model",
        )


def _splits(settings: Settings) -> Iterator[Problem]:
    """A split has a name of its own, and deals out to models."""
    for name, split in settings.splits.items():
        if owner := settings.model_name(name):
            meant = "the name of a model" if owner == name else f"an alias of {owner}"
            yield Problem(
                path=("splits", name),
                message=f"{shown(name)} is {meant}, too",
                remedy="Give the split a name of its own, or take the alias from the model",
            )
        if not any(split.models.values()):
            yield Problem(
                path=("splits", name, "models"),
                message="no weight is above 0",
                remedy="Give at least one model a weight, such as 100",
            )
        yield from _split_models(settings, name, split.models)


def _split_models(settings: Settings, name: str, models: Iterable[str]) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for one in models:
        path = ("splits", name, "models", one)
        meant = settings.model_name(one)
        if meant is None:
            what = "a split itself" if one in settings.splits else "not a model"
            remedy = suggestion(one, settings.models)
            yield Problem(path=path, message=f"{shown(one)} is {what}", remedy=remedy)
        elif owners.setdefault(meant, one) != one:
            message = f"{shown(one)} and {shown(owners[meant])} are the same model, {shown(meant)}"
            yield Problem(path=path, message=message, remedy="Name it once")


def _names(settings: Settings) -> Iterator[Problem]:
    """Every name and alias means one model."""
    owners = {name: name for name in settings.models}
    for name, model in settings.models.items():
        for alias in model.aliases:
            owner = owners.setdefault(alias, name)
            if owner == alias:
                meant = "its own name" if owner == name else "the name of another model"
            elif owner != name:
                meant = f"an alias of {owner}, too"
            else:
                continue
            yield Problem(
                path=("models", name, "aliases"),
                message=f"{shown(alias)} is {meant}",
                remedy="Keep it in one place",
            )


def _sources(settings: Settings) -> Iterator[Problem]:
    for name, model in settings.models.items():
        embedded = model.source.startswith("embedded:")
        if embedded and model.source not in EMBEDDED_SOURCES:
            yield Problem(
                path=("models", name, "source"),
                message=f"{shown(model.source)} is not an embedded model",
                remedy=suggestion(model.source, EMBEDDED_SOURCES),
            )
        if "auto" in model.devices and len(model.devices) > 1:
            yield Problem(
                path=("models", name, "devices"),
                message=f"{shown(list(model.devices))} mixes auto with named devices",
                remedy='Use "auto" alone, or name every device',
            )


def _onnx_files(settings: Settings) -> Iterator[Problem]:
    """A graph is named for the engine that takes one."""
    for name, model in settings.models.items():
        if model.onnx_file and model.engine not in ("auto", "onnx"):
            yield Problem(
                path=("models", name, "onnx_file"),
                message=f"the engine {shown(model.engine)} takes no graph",
                remedy='Set engine = "onnx", or take onnx_file out',
            )


def _canaries(settings: Settings) -> Iterator[Problem]:
    """A canary must be able to fail."""
    for name, model in settings.models.items():
        for at, one in enumerate(model.canaries):
            if one.wrong is None and one.right_score is None:
                yield Problem(
                    path=("models", name, "canaries", at),
                    message="nothing is expected of this canary",
                    remedy="Give it a wrong document, or a right_score",
                )
            elif one.wrong is None and one.wrong_score is not None:
                yield Problem(
                    path=("models", name, "canaries", at, "wrong_score"),
                    message="a score without a wrong document",
                    remedy="Give the wrong document, too",
                )
        if model.canary == "own" and not model.canaries:
            yield Problem(
                path=("models", name, "canary"),
                message="own pairs are asked for, and there are none",
                remedy='Give [[models.NAME.canaries]], or say "full"',
            )


ORDERED = (
    ("limits.document_bytes", "limits.body_bytes"),
    ("limits.query_bytes", "limits.body_bytes"),
    ("default_timeout_seconds", "max_timeout_seconds"),
    ("supervision.backoff_first_seconds", "supervision.backoff_longest_seconds"),
)
"""Keys of which the first must not be above the second."""


def _order(settings: Settings) -> Iterator[Problem]:
    for smaller_key, larger_key in ORDERED:
        smaller, larger = _value(settings, smaller_key), _value(settings, larger_key)
        if smaller > larger:
            yield Problem(
                path=tuple(smaller_key.split(".")),
                message=f"{_number(smaller)} is more than {larger_key}, {_number(larger)}",
                remedy=f"Lower {smaller_key} or raise {larger_key}",
            )


def _job_size(settings: Settings) -> Iterator[Problem]:
    """A document, its query and its instruction travel to a shard in one piece."""
    limits = settings.limits
    size = limits.document_bytes + 2 * limits.query_bytes
    if size > MAX_JOB_BYTES:
        yield Problem(
            path=("limits", "document_bytes"),
            message=f"a document with query and instruction may take {size} bytes, more than the "
            f"{MAX_JOB_BYTES} that travel to a shard in one piece",
            remedy="Lower limits.document_bytes or limits.query_bytes",
        )


_SMALLEST_PASSAGE_TOKENS = 16


def _passages(settings: Settings) -> Iterator[Problem]:
    """A passage is worth its query, and brings new text."""
    for name, model in settings.models.items():
        tokens = model.passage_tokens
        if 0 < tokens < _SMALLEST_PASSAGE_TOKENS:
            yield Problem(
                path=("models", name, "passage_tokens"),
                message=f"{tokens} tokens are too few for a passage",
                remedy=f"Use {_SMALLEST_PASSAGE_TOKENS} or more, or 0 for as many as fit",
            )
        elif tokens and model.passage_overlap > tokens // 2:
            yield Problem(
                path=("models", name, "passage_overlap"),
                message=f"{model.passage_overlap} is more than half of passage_tokens, {tokens}",
                remedy=f"Use {tokens // 2} or less",
            )


def _value(settings: Settings, key: str) -> float:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return float(value)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


CHECKS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _open_port,
    _tls,
    _default_model,
    _names,
    _sources,
    _onnx_files,
    _canaries,
    _order,
    _job_size,
    _passages,
    _shadows,
    _splits,
)
