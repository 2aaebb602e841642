"""Checks across keys: contradictions, impossible limits, an open port without keys.

Each check takes the sections that it reads and yields the problems that it finds. The values of
single keys have passed pydantic before.
"""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path as FilePath

from pydantic import SecretStr

from gateway.config.http_sections import LimitSettings, TlsSettings
from gateway.config.model_sections import (
    INPUT_ORDER,
    ModelSettings,
    SplitSettings,
    SupervisionSettings,
    model_name,
)
from gateway.config.problems import Path, Problem, shown, suggestion
from gateway.config.redis_url import FORMS, WrongUrl, parse_redis_url
from gateway.domain.named_instructions import UnknownInstruction, instruction_of
from shards.wire.messages import MAX_JOB_BYTES

Models = Mapping[str, ModelSettings]
Splits = Mapping[str, SplitSettings]

EMBEDDED_SOURCES = ("embedded", "embedded:bert", "embedded:qwen3")
_SMALLEST_PASSAGE_TOKENS = 16


def open_port(host: str, *, has_access_rule: bool) -> Iterator[Problem]:
    """Require keys, or an explicit permission to go without, on a port that others can reach."""
    if has_access_rule or is_loopback(host):
        return
    yield Problem(
        path=("host",),
        message=f"{shown(host)} can be reached from other machines, and there are no keys",
        remedy="Make a key (gateway key new NAME --keys-file keys.toml) and set "
        'keys_file = "keys.toml" (GATEWAY_KEYS_FILE), or set allow_unauthenticated = true '
        "(GATEWAY_ALLOW_UNAUTHENTICATED=true) if any client that reaches it may use it",
    )


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def tls_pair(tls: TlsSettings) -> Iterator[Problem]:
    """Require a certificate and its key together."""
    for missing, value, other in (
        ("key", tls.key, tls.certificate),
        ("certificate", tls.certificate, tls.key),
    ):
        if other and not value:
            yield Problem(
                path=("tls", missing),
                message="is missing, and the other half of the pair is there",
                remedy="Name both tls.certificate and tls.key, or none",
            )


def default_model(wanted: str | None, models: Models, others: Collection[str]) -> Iterator[Problem]:
    """Require that the default model is a model, or another name behind which models score."""
    if model_name(models, wanted) is None and wanted not in others:
        yield Problem(
            path=("default_model",),
            message=f"{shown(wanted or '')} is not a model",
            remedy=suggestion(wanted or "", [*models, *others]),
        )


def model_names(models: Models) -> Iterator[Problem]:
    """Require that every name and alias means one model."""
    owners = {name: name for name in models}
    for name, model in models.items():
        for alias in model.aliases:
            owner = owners.setdefault(alias, name)
            if owner == alias:
                meaning = "its own name" if owner == name else "the name of another model"
            elif owner != name:
                meaning = f"an alias of {owner}, too"
            else:
                continue
            yield Problem(
                path=("models", name, "aliases"),
                message=f"{shown(alias)} is {meaning}",
                remedy="Keep it in one place",
            )


def sources(models: Models) -> Iterator[Problem]:
    """Require embedded models that exist, and `auto` as the only device where it is used."""
    for name, model in models.items():
        if model.source.startswith("embedded:") and model.source not in EMBEDDED_SOURCES:
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


def onnx_files(models: Models) -> Iterator[Problem]:
    """Allow a named graph only for the engine that takes one."""
    for name, model in models.items():
        if model.onnx_file and model.engine not in ("auto", "onnx"):
            yield Problem(
                path=("models", name, "onnx_file"),
                message=f"the engine {shown(model.engine)} takes no graph",
                remedy='Set engine = "onnx", or take onnx_file out',
            )


def canaries(models: Models) -> Iterator[Problem]:
    """Require that every canary is able to fail."""
    for name, model in models.items():
        for at, canary in enumerate(model.canaries):
            path = ("models", name, "canaries", at)
            if canary.wrong is None and canary.right_score is None:
                yield Problem(
                    path=path,
                    message="nothing is expected of this canary",
                    remedy="Give it a wrong document, or a right_score",
                )
            elif canary.wrong is None and canary.wrong_score is not None:
                yield Problem(
                    path=(*path, "wrong_score"),
                    message="a score without a wrong document",
                    remedy="Give the wrong document, too",
                )
        if model.canary == "own" and not model.canaries:
            yield Problem(
                path=("models", name, "canary"),
                message='"own" needs pairs in canaries, and there are none',
                remedy='Add [[models.NAME.canaries]], or set canary = "full"',
            )


def limits(section: LimitSettings) -> Iterator[Problem]:
    """Require that a document and a query fit into a body, and together into one job."""
    for key in ("document_bytes", "query_bytes"):
        size = getattr(section, key)
        yield from _at_most(("limits", key), size, "limits.body_bytes", section.body_bytes)
    # A document, its query and its instruction travel to a shard in one message.
    size = section.document_bytes + 2 * section.query_bytes
    if size > MAX_JOB_BYTES:
        yield Problem(
            path=("limits", "document_bytes"),
            message=f"a document with query and instruction may take {size} bytes, more than the "
            f"{MAX_JOB_BYTES} that travel to a shard in one piece",
            remedy="Lower limits.document_bytes or limits.query_bytes",
        )


def instructions(models: Models, table: Mapping[str, str]) -> Iterator[Problem]:
    """Require that the instructions that models name are there."""
    for name, model in models.items():
        try:
            instruction_of(model.instruction, table)
        except UnknownInstruction as error:
            path = ("models", name, "instruction")
            yield Problem(path=path, message=str(error), remedy="Add it to [instructions]")


def score_stores(
    megabytes: int, path: FilePath | None, url: SecretStr | None, secret_file: FilePath | None
) -> Iterator[Problem]:
    """Require memory in front of stores of scores, and a URL and a secret for those in common."""
    for key, value in (("score_cache_path", path), ("score_cache_url", url)):
        if value is not None and not megabytes:
            yield Problem(
                path=(key,),
                message="the score cache is off (score_cache_mb = 0), and stores are behind it",
                remedy=f"Raise score_cache_mb, or take {key} out",
            )
    if url is None:
        return
    try:
        parse_redis_url(url.get_secret_value())
    except WrongUrl as error:
        yield Problem(path=("score_cache_url",), message=str(error), remedy=f"Use {FORMS}")
    if secret_file is None:
        yield Problem(
            path=("score_cache_secret_file",),
            message="is missing, and gateways that have scores in common have one secret",
            remedy="Make one for all of them: openssl rand -hex 32 > FILE",
        )


def timeouts(default_seconds: float, max_seconds: float) -> Iterator[Problem]:
    """Require a default deadline that is not above the longest one."""
    yield from _at_most(
        ("default_timeout_seconds",), default_seconds, "max_timeout_seconds", max_seconds
    )


def backoff(section: SupervisionSettings) -> Iterator[Problem]:
    """Require a first restart delay that is not above the longest one."""
    yield from _at_most(
        ("supervision", "backoff_first_seconds"),
        section.backoff_first_seconds,
        "supervision.backoff_longest_seconds",
        section.backoff_longest_seconds,
    )


def passages(models: Models) -> Iterator[Problem]:
    """Require passages that are worth their query, and that bring new text."""
    for name, model in models.items():
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


def shadows(models: Models, splits: Splits) -> Iterator[Problem]:
    """Require that a model is compared with another model."""
    for name, model in models.items():
        if model.shadow is None:
            continue
        wanted = model.shadow.model
        found = model_name(models, wanted)
        if found == name:
            message = f"{shown(wanted)} is this model itself"
        elif found is None:
            message = f"{shown(wanted)} is {'a split' if wanted in splits else 'not a model'}"
        else:
            continue
        others = [other for other in models if other != name]
        yield Problem(
            path=("models", name, "shadow", "model"),
            message=message,
            remedy=suggestion(wanted, others) if others else "Add a second model",
        )


def fallbacks(models: Models) -> Iterator[Problem]:
    """Require that fallbacks are other models, each once, and the order of the request last."""
    for name, model in models.items():
        before = {name}
        for place, wanted in enumerate(model.fallback):
            found = model_name(models, wanted) or wanted
            message = ""
            if found == INPUT_ORDER:
                message = "is not the last one" if place < len(model.fallback) - 1 else ""
            elif found not in models:
                message = "is not a model"
            elif found in before:
                message = "is this model itself" if found == name else "is named twice"
            before.add(found)
            if message:
                yield Problem(
                    path=("models", name, "fallback"),
                    message=f"{shown(wanted)} {message}",
                    remedy="Put it at the end, once"
                    if found == INPUT_ORDER
                    else suggestion(wanted, [*(set(models) - before), INPUT_ORDER]),
                )


def reserved_name(
    models: Models, splits: Splits, cascades: Mapping[str, object]
) -> Iterator[Problem]:
    """Require that nothing has the name of the fallback without a model."""
    of_models = {name: {name, *model.aliases} for name, model in models.items()}
    named = [("models", name) for name, names in of_models.items() if INPUT_ORDER in names]
    named += [("splits", name) for name in splits if name == INPUT_ORDER]
    named += [("cascades", name) for name in cascades if name == INPUT_ORDER]
    for path in named:
        yield Problem(
            path=path,
            message=f"{shown(INPUT_ORDER)} stands for the order of the request, without a model",
            remedy="Choose another name",
        )


def split_names(models: Models, splits: Splits) -> Iterator[Problem]:
    """Require that a split has a name of its own, and divides requests among models."""
    for name, split in splits.items():
        if owner := model_name(models, name):
            meaning = "the name of a model" if owner == name else f"an alias of {owner}"
            yield Problem(
                path=("splits", name),
                message=f"{shown(name)} is {meaning}, too",
                remedy="Give the split a name of its own, or take the alias from the model",
            )
        if not any(split.models.values()):
            yield Problem(
                path=("splits", name, "models"),
                message="no weight is above 0",
                remedy="Give at least one model a weight, such as 100",
            )
        yield from _split_models(name, split, models, splits)


def _split_models(
    name: str, split: SplitSettings, models: Models, splits: Splits
) -> Iterator[Problem]:
    """Require that the models of a split exist, and differ."""
    owners: dict[str, str] = {}
    for wanted in split.models:
        path = ("splits", name, "models", wanted)
        found = model_name(models, wanted)
        if found is None:
            what = "a split itself" if wanted in splits else "not a model"
            remedy = suggestion(wanted, models)
            yield Problem(path=path, message=f"{shown(wanted)} is {what}", remedy=remedy)
        elif (first := owners.setdefault(found, wanted)) != wanted:
            message = f"{shown(wanted)} and {shown(first)} are the same model, {shown(found)}"
            yield Problem(path=path, message=message, remedy="Name it once")


def _at_most(path: Path, value: float, other_key: str, limit: float) -> Iterator[Problem]:
    if value > limit:
        key = ".".join(map(str, path))
        yield Problem(
            path=path,
            message=f"{_number(value)} is more than {other_key}, {_number(limit)}",
            remedy=f"Lower {key} or raise {other_key}",
        )


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
