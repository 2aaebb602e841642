"""The policy of a gateway for all its models: restarts, time limits, ejection, queue bound."""

from dataclasses import dataclass, field

from gateway.config import Settings
from gateway.scheduling.memory_plan import Rules
from gateway.scheduling.memory_room import Room
from gateway.scheduling.retry_budget import RetryPolicy
from gateway.supervision.canary_log import CanaryLog
from gateway.supervision.lifecycle import RestartPolicy, Times
from gateway.supervision.machine_memory import usable_memory
from gateway.supervision.oom_kills import OomKills
from gateway.supervision.outlier_detection import EjectionPolicy

_RESERVE_MB = 1024  # for the gateway and other programs


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPolicy:
    """The policy that all models of a gateway share.

    Attributes:
        restart: the restarts of lost shards.
        times: the time limits of the supervisors.
        retries: the lost jobs that may be scored again.
        ejection: the ejection of a replica that errs.
        oom: the kernel's count of processes that it killed for lack of memory.
        canaries: the canary results of all shards, through all their generations.
        room: the memory for all models.
        queue_tokens: the most estimated tokens of one model's admitted requests.
        reload_seconds: the time limit of a new revision until it can serve.
    """

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    times: Times = field(default_factory=Times)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    ejection: EjectionPolicy = field(default_factory=EjectionPolicy)
    oom: OomKills = field(default_factory=OomKills)
    canaries: CanaryLog = field(default_factory=CanaryLog)
    room: Room = field(default_factory=Room)
    queue_tokens: int = 2_000_000
    reload_seconds: float = 1800.0

    @classmethod
    def of(cls, settings: Settings) -> "FleetPolicy":
        """Return the policy of the settings."""
        supervision = settings.supervision
        times = Times(
            load_timeout_seconds=supervision.load_timeout_seconds,
            stop_seconds=supervision.stop_seconds,
            kill_seconds=supervision.kill_seconds,
        )
        return cls(
            restart=supervision.restart_policy(),
            times=times,
            retries=RetryPolicy(supervision.retry_share, supervision.retries_per_second),
            ejection=EjectionPolicy(supervision.ejection_seconds),
            room=room_of(settings),
            queue_tokens=settings.limits.queue_tokens,
            reload_seconds=supervision.reload_timeout_seconds,
        )


def room_of(settings: Settings) -> Room:
    """Return the room for the models of the settings, on this machine."""
    section = settings.memory_budget
    machine_mb = section.machine_mb
    if machine_mb is None:
        machine_mb = 0
        unloads = any(one.load != "start" or one.idle_seconds for one in settings.models.values())
        if unloads and (usable := usable_memory()):
            usable_mb, reserve_mb = usable >> 20, section.reserve_mb
            if reserve_mb is None:
                reserve_mb = min(_RESERVE_MB, usable_mb // 4)
            machine_mb = max(1, usable_mb - reserve_mb)
    return Room(
        machine_mb << 20,
        section.gpu_mb << 20,
        Rules(
            stay_seconds=section.stay_seconds,
            cool_seconds=section.cool_seconds,
            patience_seconds=section.patience_seconds,
        ),
    )
