"""Settings and machine -> what the fleet starts: one `ModelSpec` per model, with its shards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from gateway.config.calibrations import CalibrationEntry, calibrations_of
from gateway.config.settings import ModelSettings, Settings
from gateway.domain import UNCALIBRATED, Calibration, LongDocuments
from gateway.machine import Machine, read_machine
from gateway.placement import Place, place
from shards.wire.spec import OwnCanary, ShardSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSpec:
    """The model that another one is compared with.

    Attributes:
        model: its public name.
        percent: how many requests it scores again.
    """

    model: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model as the fleet serves it.

    Attributes:
        name: the public name.
        aliases: its other names.
        default: whether requests that name no model go here.
        source: where it comes from, as it was configured.
        shards: at least one.
        max_shard_memory_mb: the most resident memory of one of them; 0 for no limit.
        long_documents: what it does with documents that are too long, unless a request says.
        alone: whether it is the only model.
        shadow: the model that it is compared with, and how often.
        calibration: what its margins mean, and how that is known; `None` if nobody has found out.
    """

    name: str
    aliases: tuple[str, ...]
    default: bool
    source: str
    shards: tuple[ShardSpec, ...]
    max_shard_memory_mb: int = 0
    long_documents: LongDocuments = field(default_factory=LongDocuments)
    alone: bool = False
    shadow: ShadowSpec | None = None
    calibration: CalibrationEntry | None = None

    @property
    def scale(self) -> Calibration:
        """From its margins to relevance scores."""
        return self.calibration.map if self.calibration else UNCALIBRATED


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSpec:
    """A name behind which requests are dealt out to models.

    Attributes:
        name: what clients ask for.
        default: whether requests that name no model are dealt out by it.
        weights: of the models, by their public names; at least one is above 0.
    """

    name: str
    default: bool
    weights: Mapping[str, float]


def split_specs(settings: Settings) -> tuple[SplitSpec, ...]:
    """Return every configured split."""
    return tuple(
        SplitSpec(
            name=name,
            default=name == settings.default_model,
            weights={settings.model_name(one) or one: each for one, each in split.models.items()},
        )
        for name, split in settings.splits.items()
    )


def model_specs(settings: Settings, machine: Machine | None = None) -> tuple[ModelSpec, ...]:
    """Return every configured model with its shards, placed on a machine (this one if `None`).

    Raises:
        ConfigError: the file of calibrations cannot be used.
    """
    machine = machine or read_machine()
    calibrations = calibrations_of(settings)
    return tuple(
        ModelSpec(
            name=name,
            aliases=model.aliases,
            default=name == settings.model_name(),
            source=model.source,
            max_shard_memory_mb=model.max_shard_memory_mb,
            long_documents=model.reading(),
            alone=len(settings.models) == 1,
            shadow=_shadow(model, settings),
            calibration=calibrations.get(name),
            shards=tuple(
                _shard(name, model, one, settings)
                for one in place(
                    machine, model.devices, replicas=model.replicas, threads=model.threads
                )
            ),
        )
        for name, model in settings.models.items()
    )


def _shadow(model: ModelSettings, settings: Settings) -> ShadowSpec | None:
    if model.shadow is None:
        return None
    name = settings.model_name(model.shadow.model) or model.shadow.model
    return ShadowSpec(model=name, percent=model.shadow.percent)


def resolve(source: str) -> str:
    """Return the folder of an embedded model; any other source as it is."""
    kind, _, name = source.partition(":")
    return str(_models_folder() / f"embedded-{name}") if kind == "embedded" else source


def _models_folder() -> Path:
    """Return where the embedded models lie, without importing any engine."""
    shards = find_spec("shards")
    assert shards is not None and shards.submodule_search_locations is not None
    return Path(next(iter(shards.submodule_search_locations))) / "models"


def _shard(name: str, model: ModelSettings, spot: Place, settings: Settings) -> ShardSpec:
    return ShardSpec(
        name=f"{name}/{spot.label}",
        model=name,
        source=resolve(model.source),
        revision=model.revision,
        engine=model.engine,
        onnx_file=model.onnx_file,
        device=spot.device,
        device_required=spot.required,
        dtype=model.dtype,
        cores=spot.cores,
        memory_nodes=spot.memory_nodes,
        threads=spot.threads,
        max_length=model.max_length,
        token_budget=model.token_budget,
        int8_anyway=model.int8_anyway,
        prefix_cache_mb=model.prefix_cache_mb,
        template=model.template,
        instruction=model.instruction,
        guard_special_tokens=model.guard_special_tokens,
        offline=settings.offline,
        canary=model.canary,
        canaries=tuple(OwnCanary(**one.model_dump()) for one in model.canaries),
        canary_seconds=settings.supervision.canary_seconds,
        canary_batches=settings.supervision.canary_batches,
    )
