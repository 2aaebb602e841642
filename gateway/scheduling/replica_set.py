"""The replicas of one model: their supervisors, and the state of all of them together."""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from gateway.config import ModelSpec
from gateway.domain.job import Job
from gateway.scheduling.policy import FleetPolicy
from gateway.supervision.lifecycle import State
from gateway.supervision.memory_recycling import recycle
from gateway.supervision.supervisor import Supervisor
from shards.wire.facts import Facts

_FIRST_TOKEN_BUDGET = 4096  # until a shard has reported its own


class ReplicaSet:
    """The supervised shards of one model, each a replica of it.

    All replicas of a revision have the same files. The first one that is ready decides which.
    """

    def __init__(
        self,
        spec: ModelSpec,
        policy: FleetPolicy,
        *,
        revision: int,
        on_change: Callable[[], None],
        on_suspects: Callable[[Iterable[Job]], None],
    ) -> None:
        self._name = spec.name
        self._files = ""
        self._last_facts: Facts | None = None
        self._supervisors = tuple(
            Supervisor(
                shard,
                revision=revision,
                policy=policy.restart,
                times=policy.times,
                ejection=policy.ejection,
                oom=policy.oom,
                canaries=policy.canaries,
                accepts=self._refusal_of,
                on_change=on_change,
                on_suspects=on_suspects,
            )
            for shard in spec.shards
        )

    def _refusal_of(self, facts: Facts) -> str:
        """Return the reason why a replica with these facts must not serve; empty for none."""
        self._files = self._files or facts.files
        if not facts.files or facts.files == self._files:
            return ""
        return (
            "its files are not those that this revision of the model serves: they were replaced "
            f"after its start. `gateway reload {self._name}` moves all replicas to the new files"
        )

    def __len__(self) -> int:
        return len(self._supervisors)

    def __iter__(self) -> Iterator[Supervisor]:
        return iter(self._supervisors)

    @property
    def ready(self) -> list[Supervisor]:
        return [shard for shard in self if shard.state is State.READY]

    @property
    def is_complete(self) -> bool:
        """True if all shards are ready."""
        return len(self.ready) == len(self)

    @property
    def failure(self) -> str:
        """The reasons why shards were given up; empty if none was."""
        return _errors(shard for shard in self if shard.state is State.FAILED)

    @property
    def last_errors(self) -> str:
        """The reasons why shards were lost lately; empty if none was."""
        return _errors(self)

    @property
    def facts(self) -> Facts | None:
        """The properties of the model, from a ready shard; `None` while there is none."""
        return next((facts for shard in self if (facts := shard.replica.facts)), None)

    @property
    def last_facts(self) -> Facts | None:
        """The properties of the model as last seen: its files are the same when it is unloaded."""
        self._last_facts = self.facts or self._last_facts
        return self._last_facts

    @property
    def failed_canaries(self) -> int:
        """The number of rounds of canaries that failed since the start."""
        return sum(shard.canary.failures for shard in self)

    @property
    def token_budget(self) -> int:
        """The most tokens of one batch."""
        facts = self.facts
        return facts.token_budget if facts else _FIRST_TOKEN_BUDGET

    def is_watched(self, now: float) -> bool:
        """Return whether every supervisor looks at its shard."""
        return all(shard.is_watched(now) for shard in self)

    async def run(self, limit_mb: Callable[[], int]) -> None:
        """Run all shards until `stop`; replace those that grow over `limit_mb` (0: no limit)."""
        async with asyncio.TaskGroup() as group:
            recycling = group.create_task(recycle(self._supervisors, limit_mb))
            shards = [group.create_task(shard.run(), name=shard.spec.name) for shard in self]
            await asyncio.wait(shards)
            recycling.cancel()

    @property
    def is_unloaded(self) -> bool:
        """True if no shard has a process, and none is wanted."""
        return all(shard.is_unloaded for shard in self)

    def load(self) -> None:
        """Start the shards that were unloaded or given up."""
        for shard in self:
            shard.load()

    def unload(self) -> None:
        """End all shards, until they are loaded again."""
        for shard in self:
            shard.unload()

    def stop(self) -> None:
        """Let all shards finish their jobs; `run` returns when they have ended."""
        for shard in self:
            shard.stop()

    def forgive_device(self) -> None:
        """Take back the device failure that was counted last, as a pair was the cause of it."""
        max(self, key=lambda shard: shard.degradation.device_failures).degradation.forgive()


def _errors(shards: Iterable[Supervisor]) -> str:
    return "; ".join(sorted({shard.last_error for shard in shards if shard.last_error}))
