"""All models of the gateway, by every name a client may use.

What is served is changed by `apply` only, and wholly or not at all: the editions that a new
configuration needs start beside those that serve; when each of them has passed its trial, all names
are switched in one step; then the old editions finish the requests that are in, and end. As long as
anything may still go wrong, nothing has changed for anybody.
"""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Container, Iterable, Sequence

from gateway.config import ModelSpec, SplitSpec
from gateway.domain import Caller
from gateway.editions import Changes, changes
from gateway.errors import UnknownModel
from gateway.metrics import Metrics
from gateway.model import Model
from gateway.policy import FleetPolicy
from gateway.splits import share
from gateway.status import Dealt, ModelStatus, SplitStatus
from gateway.trial import EditionFailed, pass_trial

_logger = logging.getLogger(__name__)

_SHOWN_NAME = 128


class Fleet:
    """All models of the gateway.

    Attributes:
        dealt: how many requests each split has sent to each model.
        specs: what is served.
        names: the public names of that.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        policy: FleetPolicy,
        metrics: Metrics,
        splits: Sequence[SplitSpec] = (),
    ) -> None:
        self.dealt: Counter[tuple[str, str]] = Counter()
        self._policy = policy
        self._metrics = metrics
        self._coming: dict[str, Model] = {}
        self.has_failed = False  # supervision itself: a bug
        self._running: dict[Model, asyncio.Task[None]] = {}
        self._serve(models, splits, {spec.name: self._edition(spec) for spec in models})

    def _edition(self, spec: ModelSpec) -> Model:
        return Model(spec, self._policy, self._metrics)

    def _serve(
        self, specs: Sequence[ModelSpec], splits: Sequence[SplitSpec], models: dict[str, Model]
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
        defaults = [split.name for split in splits if split.default]
        self._default = next(iter(defaults + [spec.name for spec in specs if spec.default]))

    async def start(self) -> None:
        """Start all shards; returns at once, they load in the background."""
        for model in self._models.values():
            self._run(model)

    def _run(self, model: Model) -> None:
        running = asyncio.create_task(model.run(), name=model.spec.name)
        self._running[model] = running
        running.add_done_callback(self._stop_gateway_if_failed)
        running.add_done_callback(lambda _: self._running.pop(model, None))

    def _stop_gateway_if_failed(self, running: asyncio.Task[None]) -> None:
        """Without supervision the gateway would lie about its health sooner or later: end it."""
        if not running.cancelled() and (error := running.exception()):
            _logger.critical("supervision failed, the gateway stops", exc_info=error)
            self.has_failed = True
            signal.raise_signal(signal.SIGTERM)

    async def stop(self) -> None:
        """Stop all shards and wait for their end."""
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
    ) -> Changes:
        """Serve these models from now on; start those in `again` anew even if they look the same.

        The splits stay as they are where none are given.

        Returns when the names are switched; old editions may be finishing yet. One at a time.

        Raises:
            EditionFailed: one of the new editions did not pass; everything is as it was.
        """
        found = changes([model.spec for model in self._models.values()], specs, again)
        coming = {spec.name: self._edition(spec) for spec in specs if spec.name in found.starting}
        try:
            await self._start_beside(coming)
        except BaseException:
            _drain(coming.values())
            raise
        finally:
            self._coming = {}
        old = self._models
        splits = tuple(self.splits.values()) if splits is None else splits
        self._serve(specs, splits, old | coming)
        _drain(old[name] for name in (*found.changed, *found.removed))
        return found

    async def _start_beside(self, coming: dict[str, Model]) -> None:
        """Start editions; return when all have passed, raise when the first has failed."""
        self._coming = coming
        for model in coming.values():
            self._run(model)
        trials = [pass_trial(model, self._policy.reload_seconds) for model in coming.values()]
        try:
            async with asyncio.TaskGroup() as group:
                for trial in trials:
                    group.create_task(trial)
        except* EditionFailed as failed:
            raise failed.exceptions[0] from None

    def drain(self, name: str) -> None:
        """Let a model finish what it has, and end; it refuses requests until it is started again."""
        self._models[self.resolve(name)].drain()

    def resolve(self, name: str | None) -> str:
        """Return the public name of the model that a name means; `None`: the default one.

        Raises:
            UnknownModel: there is none of this name; the message lists those there are.
        """
        if split := self.split(name):
            raise UnknownModel(
                f"{split.name!r} is a split, not a model; name one of its models: "
                f"{', '.join(split.weights)}",
                param="model",
            )
        if name is None:
            return self._default
        try:
            return self._names[name]
        except KeyError:
            known = ", ".join([*self._models, *self.splits])
            raise UnknownModel(
                f"model {name[:_SHOWN_NAME]!r} is not served here; use one of: {known}",
                param="model",
            ) from None

    def split(self, name: str | None) -> SplitSpec | None:
        """Return the split of a name, if it is one; `None`: the default one, if that is a split."""
        return self.splits.get(self._default if name is None else name)

    def refuse_unread(self, names: Iterable[str], caller: Caller, remaining_seconds: float) -> None:
        """Refuse a request whose body nobody has read, if it would be refused whatever is in it.

        Args:
            names: the models that it may mean.
            caller: whose it is.
            remaining_seconds: the time until its deadline.

        Raises:
            GatewayError: none of them takes even the smallest request.
        """
        refusals = []
        for name in names:
            if not (refusal := self._models[name].refusal_of_any(caller, remaining_seconds)):
                return
            refusals.append(refusal)
        if refusals:
            raise refusals[0]

    def model(self, name: str) -> Model:
        """Return the model of this public name."""
        return self._models[name]

    def serves(self, *names: str) -> bool:
        """Whether all these public names are served now; a reload may have taken one away."""
        return self._models.keys() >= set(names)

    def is_attended(self, now: float) -> bool:
        """Whether every supervisor looks at its shard."""
        return all(model.is_attended(now) for model in self._running)

    def status(self) -> tuple[ModelStatus, ...]:
        """Return a snapshot of what is served."""
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

    def coming(self) -> tuple[ModelStatus, ...]:
        """Return a snapshot of the editions that have not passed yet."""
        return tuple(model.status() for model in self._coming.values())

    def leaving(self) -> tuple[ModelStatus, ...]:
        """Return a snapshot of the editions that have lost their names and are ending."""
        named = {*self._models.values(), *self._coming.values()}
        return tuple(model.status() for model in self._running if model not in named)


def _drain(models: Iterable[Model]) -> None:
    for model in models:
        model.drain()
