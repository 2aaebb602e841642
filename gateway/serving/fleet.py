"""All models of the gateway, by every name that a client may use.

Only `apply` changes the served models, and wholly or not at all: the revisions that a new
configuration needs start beside those that serve; when each of them has passed its check, all names
are switched in one step; then the old revisions finish the requests that they have admitted, and
end. As long as a step can still fail, nothing has changed for any client.
"""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Collection, Container, Iterable, Sequence

from gateway.config import INPUT_ORDER, CascadeSpec, ModelSpec, SplitSpec
from gateway.domain.errors import UnknownModel
from gateway.domain.request import Caller
from gateway.scheduling.admission import drained
from gateway.scheduling.model import Model
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.cascade import Cascade
from gateway.serving.idle_unloading import unload_idle
from gateway.serving.revision_check import RevisionFailed, check_revision
from gateway.serving.revisions import Changes, changes
from gateway.serving.traffic_split import share
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import CascadeStatus, Dealt, ModelStatus, SplitStatus

_logger = logging.getLogger(__name__)

_SHOWN_NAME = 128


class Fleet:
    """All models of the gateway.

    Attributes:
        dealt: the number of requests that each split has sent to each model.
        cascaded: the number of documents by cascade and the model that scored them last.
        specs: the served models.
        names: their public names.
        accepts_any_model: whether a name that nothing has means the default model.
        room: the memory for all models.
        stops_process: whether a bug of supervision ends the process.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        policy: FleetPolicy,
        metrics: Metrics,
        splits: Sequence[SplitSpec] = (),
        cascades: Sequence[CascadeSpec] = (),
    ) -> None:
        self.accepts_any_model = False
        self.stops_process = True
        self.dealt: Counter[tuple[str, str]] = Counter()
        self.cascaded: Counter[tuple[str, str]] = Counter()
        self._policy, self.room = policy, policy.room
        self._metrics = metrics
        self._coming: dict[str, Model] = {}
        self._revisions: Counter[str] = Counter()  # by model, since the start
        self._drained_meanwhile: set[str] = set()  # while a new revision of the model was coming
        self.has_failed = False  # supervision itself: a bug
        self._running: dict[Model, asyncio.Task[None]] = {}
        self._unloading: asyncio.Task[None] | None = None
        self._serve(models, splits, cascades, {spec.name: self._revision(spec) for spec in models})

    def _revision(self, spec: ModelSpec) -> Model:
        self._revisions[spec.name] += 1
        return Model(spec, self._policy, self._metrics, self._revisions[spec.name])

    def _serve(
        self,
        specs: Sequence[ModelSpec],
        splits: Sequence[SplitSpec],
        cascades: Sequence[CascadeSpec],
        models: dict[str, Model],
    ) -> None:
        """Make these models the ones that have names."""
        self._models = {spec.name: models[spec.name] for spec in specs}
        self.specs = tuple(specs)
        self.names = tuple(self._models)
        for spec in specs:
            self._models[spec.name].spec = spec
        self._names = {alias: spec.name for spec in specs for alias in spec.aliases}
        self._names |= {spec.name: spec.name for spec in specs}
        self.splits = {split.name: split for split in splits}
        self.cascades = {cascade.name: cascade for cascade in cascades}
        defaults = [split.name for split in splits if split.default]
        defaults += [cascade.name for cascade in cascades if cascade.default]
        self._default = next(iter(defaults + [spec.name for spec in specs if spec.default]))

    async def start(self) -> None:
        """Start all shards; they load in the background."""
        for model in self._models.values():
            self._run(model)
        unloading = unload_idle(lambda: self._models.values(), self.room)
        self._unloading = asyncio.create_task(unloading)
        self._unloading.add_done_callback(self._stop_gateway_if_failed)

    def _run(self, model: Model) -> None:
        running = asyncio.create_task(model.run(), name=model.spec.name)
        self._running[model] = running
        running.add_done_callback(self._stop_gateway_if_failed)
        running.add_done_callback(lambda _: self._running.pop(model, None))

    def _stop_gateway_if_failed(self, running: asyncio.Task[None]) -> None:
        """End the gateway after a bug: without supervision its health checks would be wrong."""
        if not running.cancelled() and (error := running.exception()):
            _logger.critical("supervision failed, the gateway stops", exc_info=error)
            self.has_failed = True
            if self.stops_process:
                signal.raise_signal(signal.SIGTERM)

    async def stop(self) -> None:
        """Stop all shards and wait for their end."""
        if self._unloading is not None:
            self._unloading.cancel()
        running = dict(self._running)
        for model in running:
            model.stop()
        await asyncio.gather(*running.values(), return_exceptions=True)

    async def apply(
        self,
        specs: Sequence[ModelSpec],
        again: Container[str] = (),
        *,
        splits: Sequence[SplitSpec] | None = None,
        cascades: Sequence[CascadeSpec] | None = None,
    ) -> Changes:
        """Serve these models from now on; return their changes when the names are switched.

        Old revisions may still be finishing then. Calls must not overlap.

        Args:
            specs: the models.
            again: the names of models to start anew even if they look the same.
            splits: the splits; `None` to keep those there are.
            cascades: the cascades; likewise.

        Raises:
            RevisionFailed: one of the new revisions did not pass; everything is as it was.
        """
        self._drained_meanwhile = set()
        found = changes([model.spec for model in self._models.values()], specs, again)
        coming = {spec.name: self._revision(spec) for spec in specs if spec.name in found.starting}
        try:
            await self._start_beside(coming, again)
        except BaseException:
            _drain(coming.values())
            raise
        finally:
            self._coming = {}
        old, new = self._models, {spec.name: spec for spec in specs}
        for name in found.kept:
            if new[name].load == "start" != old[name].spec.load:
                old[name].load()
        splits = tuple(self.splits.values()) if splits is None else splits
        cascades = tuple(self.cascades.values()) if cascades is None else cascades
        self._serve(specs, splits, cascades, old | coming)
        _drain(old[name] for name in (*found.changed, *found.removed))
        _drain(coming[name] for name in self._drained_meanwhile)
        return found

    async def _start_beside(self, coming: dict[str, Model], again: Container[str]) -> None:
        """Start revisions; return when all have passed, raise when the first has failed.

        A revision that is loaded with its first use, and takes the place of none that is loaded,
        passes unchecked unless it was named.
        """
        self._coming = coming
        for name, model in coming.items():
            before = self._models.get(name)
            if name in again or (before is not None and before.presence.is_wanted):
                model.load()
            self._run(model)
        loaded = [model for model in coming.values() if model.presence.is_wanted]
        checks = [check_revision(model, self._policy.reload_seconds) for model in loaded]
        try:
            async with asyncio.TaskGroup() as group:
                for check in checks:
                    group.create_task(check)
        except* RevisionFailed as failed:
            raise failed.exceptions[0] from None

    def drain(self, name: str) -> None:
        """Let a model finish its requests and end; it rejects others until it is started again."""
        public = self.resolve(name)
        self._models[public].drain()
        if public in self._coming:
            self._drained_meanwhile.add(public)

    def load(self, name: str) -> None:
        """Load a model now, if it is not loaded.

        Raises:
            ModelDrained: it is out of service.
        """
        self._operated(name).load()

    def unload(self, name: str) -> None:
        """Unload a model when its requests have left; a request that comes before cancels that.

        Raises:
            ModelDrained: it is out of service.
        """
        self._operated(name).unload()

    def _operated(self, name: str) -> Model:
        model = self._models[self.resolve(name)]
        if model.is_draining:
            raise drained(model.spec.name)
        return model

    def resolve(self, name: str | None) -> str:
        """Return the public name of the model of any name; `None` means the default model.

        Raises:
            UnknownModel: nothing has this name; the message lists the models there are.
        """
        several = self.split(name) or self.cascades.get(self._default if name is None else name)
        if several:
            kind = "split" if several.name in self.splits else "cascade"
            raise UnknownModel(
                f"{several.name!r} is a {kind}, not a model; name one of its models: "
                f"{', '.join(several.models)}",
                param="model",
            )
        if name is None:
            return self._default
        try:
            return self._names[name]
        except KeyError:
            known = ", ".join([*self._models, *self.splits, *self.cascades])
            raise UnknownModel(
                f"model {name[:_SHOWN_NAME]!r} is not served here; use one of: {known}",
                param="model",
            ) from None

    def cascade(self, name: str | None) -> Cascade | None:
        """Return the cascade of a name, if it is one; `None` means the default name."""
        spec = self.cascades.get(self._default if name is None else name)
        if spec is None:
            return None
        return Cascade(spec, self._models[spec.first], self._models[spec.then])

    def split(self, name: str | None) -> SplitSpec | None:
        """Return the split of a name, if it is one; `None` means the default name."""
        return self.splits.get(self._default if name is None else name)

    def refuse_unread(self, names: Iterable[str], caller: Caller, remaining_seconds: float) -> None:
        """Reject a request before its body is read, if it would be rejected with any body.

        Args:
            names: the models that may score it.
            caller: its caller.
            remaining_seconds: the time until its deadline.

        Raises:
            GatewayError: none of the models admits even the smallest request, nor do their
                fallbacks.
        """
        refusals = []
        behind = [fallback for name in names for fallback in self._models[name].spec.fallback]
        if INPUT_ORDER in behind:
            return
        for name in (*names, *behind):
            if not (refusal := self._models[name].refusal_of_any(caller, remaining_seconds)):
                return
            refusals.append(refusal)
        if refusals:
            raise refusals[0]

    def model(self, name: str) -> Model:
        """Return the model of this public name."""
        return self._models[name]

    def renewed(self, model: Model) -> Model:
        """Return the revision of a model that takes requests now; itself if it has no name."""
        return self._models.get(model.spec.name, model)

    @property
    def models(self) -> Collection[Model]:
        """The served models."""
        return self._models.values()

    def serves(self, *names: str) -> bool:
        """Return whether all these public names are served now; a reload may have removed one."""
        return self._models.keys() >= set(names)

    def is_watched(self, now: float) -> bool:
        """Return whether every supervisor looks at its shard."""
        return all(model.replicas.is_watched(now) for model in self._running)

    def status(self) -> tuple[ModelStatus, ...]:
        """Return a snapshot of the served models."""
        return tuple(model.status() for model in self._models.values())

    def splits_status(self) -> tuple[SplitStatus, ...]:
        """Return a snapshot of the splits."""
        return tuple(
            SplitStatus(
                name=split.name,
                default=split.default,
                models=tuple(
                    Dealt(
                        model=model,
                        share=round(share(split.weights, model), 6),
                        requests=self.dealt[split.name, model],
                    )
                    for model in split.weights
                ),
            )
            for split in self.splits.values()
        )

    def cascades_status(self) -> tuple[CascadeStatus, ...]:
        """Return a snapshot of the cascades."""
        return tuple(
            CascadeStatus(
                name=spec.name,
                default=spec.default,
                first=spec.first,
                then=spec.then,
                keep=spec.keep,
                within=spec.within,
                first_documents=self.cascaded[spec.name, spec.first],
                then_documents=self.cascaded[spec.name, spec.then],
            )
            for spec in self.cascades.values()
        )

    def coming(self) -> tuple[ModelStatus, ...]:
        """Return a snapshot of the revisions that have not passed yet."""
        return tuple(model.status() for model in self._coming.values())

    def leaving(self) -> tuple[ModelStatus, ...]:
        """Return a snapshot of the revisions that have lost their names and are ending."""
        named = {*self._models.values(), *self._coming.values()}
        return tuple(model.status() for model in self._running if model not in named)


def _drain(models: Iterable[Model]) -> None:
    for model in models:
        model.drain()
