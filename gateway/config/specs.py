"""Specs that the fleet starts, made from settings and machine: one per model, with its shards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from gateway.config.calibrations import CalibrationEntry, calibrations_of
from gateway.config.model_sections import LoadAt, ModelSettings, OnDeadline, model_name
from gateway.config.settings import Settings
from gateway.domain.named_instructions import instruction_of
from gateway.domain.request import UNCALIBRATED, Calibration, LongDocuments
from gateway.domain.text_cleaning import Cleaner
from gateway.supervision.machine import Machine, read_machine
from gateway.supervision.placement import Slot, place
from shards.wire.spec import OwnCanary, ShardSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSpec:
    """The second model that a model is compared with.

    Attributes:
        model: public name of the second model.
        percent: share of the requests that it scores again, in percent.
    """

    model: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model as the fleet serves it.

    Attributes:
        name: public name.
        aliases: other names.
        default: true if requests without a model go here.
        source: source as configured.
        shards: at least one.
        max_shard_memory_mb: limit of the resident memory of one shard, in MiB; 0 for none.
        long_documents: treatment of documents that are too long, unless a request chooses.
        alone: true for the only model.
        shadow: the model that it is compared with, and the share of requests.
        score_cache: true if the score cache keeps its scores.
        fallback: public names of the models that answer when this one cannot, and `INPUT_ORDER`.
        on_deadline: the answer to a request whose deadline passes, unless it chooses.
        load: time of the first load, at the start or with the first request.
        idle_seconds: time without a request after which it is unloaded; 0 for never.
        memory_mb: stated memory of one shard at the peak of its load, in MiB; 0 for unknown.
        gpu_memory_mb: stated memory of one shard on its GPU, in MiB; 0 for unknown.
        calibration: map from margins to relevance scores, and its data; `None` if not calibrated.
        clean_text: cleaners of its texts, in their order.
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
    score_cache: bool = True
    fallback: tuple[str, ...] = ()
    on_deadline: OnDeadline = "fail"
    load: LoadAt = "start"
    idle_seconds: float = 0.0
    memory_mb: int = 0
    gpu_memory_mb: int = 0
    calibration: CalibrationEntry | None = None
    clean_text: tuple[Cleaner, ...] = ()

    @property
    def stays_loaded(self) -> bool:
        """True if it is loaded from the start on, and never unloaded by itself."""
        return self.load == "start" and not self.idle_seconds

    @property
    def scale(self) -> Calibration:
        """The map from margins to relevance scores."""
        return self.calibration.map if self.calibration else UNCALIBRATED


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSpec:
    """A name behind which requests are divided among models.

    Attributes:
        name: public name.
        default: true if requests without a model go here.
        weights: weight of each model, by public name; at least one is above 0.
    """

    name: str
    default: bool
    weights: Mapping[str, float]

    @property
    def models(self) -> tuple[str, ...]:
        """Its models, by public name."""
        return tuple(self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeSpec:
    """A name behind which two models score, one after the other.

    Attributes:
        name: public name.
        default: true if requests without a model go here.
        first: public name of the model that scores all documents.
        then: public name of the model that scores the best of them again.
        keep: the most documents that the second model scores.
        within: largest distance of their first margins from the best one; `None` for any.
    """

    name: str
    default: bool
    first: str
    then: str
    keep: int
    within: float | None = None

    @property
    def models(self) -> tuple[str, str]:
        """Both models, in their order."""
        return self.first, self.then


def split_specs(settings: Settings) -> tuple[SplitSpec, ...]:
    """Return every configured split."""
    return tuple(
        SplitSpec(
            name=name,
            default=name == settings.default_model,
            weights={
                model_name(settings.models, wanted) or wanted: weight
                for wanted, weight in split.models.items()
            },
        )
        for name, split in settings.splits.items()
    )


def cascade_specs(settings: Settings) -> tuple[CascadeSpec, ...]:
    """Return every configured cascade."""
    return tuple(
        CascadeSpec(
            name=name,
            default=name == settings.default_model,
            first=model_name(settings.models, cascade.first) or cascade.first,
            then=model_name(settings.models, cascade.then) or cascade.then,
            keep=cascade.keep,
            within=cascade.within,
        )
        for name, cascade in settings.cascades.items()
    )


def model_specs(settings: Settings, machine: Machine | None = None) -> tuple[ModelSpec, ...]:
    """Return every configured model with its shards, placed on a machine (this one if `None`).

    Raises:
        ConfigError: the file of calibrations cannot be used.
    """
    machine = machine or read_machine()
    calibrations = calibrations_of(settings)
    default = model_name(settings.models, settings.default_model)
    return tuple(
        ModelSpec(
            name=name,
            aliases=model.aliases,
            default=name == default,
            source=model.source,
            max_shard_memory_mb=model.max_shard_memory_mb,
            long_documents=model.long_document_settings(),
            alone=len(settings.models) == 1,
            shadow=_shadow(model, settings),
            score_cache=model.score_cache,
            on_deadline=model.on_deadline,
            load=model.load,
            idle_seconds=model.idle_seconds,
            memory_mb=model.memory_mb,
            gpu_memory_mb=model.gpu_memory_mb,
            fallback=tuple(model_name(settings.models, one) or one for one in model.fallback),
            calibration=calibrations.get(name),
            clean_text=model.clean_text,
            shards=tuple(
                _shard(name, model, slot, settings)
                for slot in place(
                    machine, model.devices, replicas=model.replicas, threads=model.threads
                )
            ),
        )
        for name, model in settings.models.items()
    )


def _shadow(model: ModelSettings, settings: Settings) -> ShadowSpec | None:
    if model.shadow is None:
        return None
    name = model_name(settings.models, model.shadow.model) or model.shadow.model
    return ShadowSpec(model=name, percent=model.shadow.percent)


def resolve(source: str) -> str:
    """Return the folder of an embedded model; any other source unchanged."""
    kind, _, name = source.partition(":")
    if kind != "embedded":
        return source
    return str(_models_folder() / (f"embedded-{name}" if name else "embedded"))


def _models_folder() -> Path:
    """Return the folder of the embedded models, without an import of any engine."""
    shards = find_spec("shards")
    assert shards is not None and shards.submodule_search_locations is not None
    return Path(next(iter(shards.submodule_search_locations))) / "models"


def _shard(name: str, model: ModelSettings, slot: Slot, settings: Settings) -> ShardSpec:
    return ShardSpec(
        name=f"{name}/{slot.label}",
        model=name,
        source=resolve(model.source),
        revision=model.revision,
        engine=model.engine,
        onnx_file=model.onnx_file,
        device=slot.device,
        device_required=slot.required,
        dtype=model.dtype,
        cores=slot.cores,
        memory_nodes=slot.memory_nodes,
        threads=slot.threads,
        max_length=model.max_length,
        token_budget=model.token_budget,
        int8_anyway=model.int8_anyway,
        prefix_cache_mb=model.prefix_cache_mb,
        vector_cache_mb=model.vector_cache_mb,
        scorer=model.scorer,
        query_prompt=model.query_prompt,
        document_prompt=model.document_prompt,
        template=model.template,
        instruction=instruction_of(model.instruction, settings.instructions),
        guard_special_tokens=model.guard_special_tokens,
        offline=settings.offline,
        canary=model.canary,
        canaries=tuple(OwnCanary(**canary.model_dump()) for canary in model.canaries),
        canary_seconds=settings.supervision.canary_seconds,
        canary_batches=settings.supervision.canary_batches,
        whole_files=bool(settings.score_cache_path or settings.score_cache_url),
    )
