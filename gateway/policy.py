"""What all models of a gateway share: how patient it is, whom it trusts, how much may wait."""

from dataclasses import dataclass, field

from gateway.canaries import Canaries
from gateway.config import Settings
from gateway.lifecycle import RestartPolicy, Times
from gateway.oom import OomKills
from gateway.retries import RetryPolicy
from gateway.standing import EjectionPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPolicy:
    """What all models of a gateway share.

    Attributes:
        restart: when a lost shard is started again.
        times: how patient the supervisors are.
        retries: how many lost jobs may be scored again.
        ejection: how long a replica that errs is left out.
        oom: the kernel's count of processes that it ended for want of memory.
        canaries: what shards have scored for themselves, through all their lives.
        queue_tokens: the most estimated tokens of one model's requests at any time.
        reload_seconds: how long a new edition may take until it can serve.
    """

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    times: Times = field(default_factory=Times)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    ejection: EjectionPolicy = field(default_factory=EjectionPolicy)
    oom: OomKills = field(default_factory=OomKills)
    canaries: Canaries = field(default_factory=Canaries)
    queue_tokens: int = 2_000_000
    reload_seconds: float = 1800.0

    @classmethod
    def of(cls, settings: Settings) -> "FleetPolicy":
        """Return what the settings say."""
        supervision = settings.supervision
        times = Times(
            load_timeout_seconds=supervision.load_timeout_seconds,
            stop_seconds=supervision.stop_seconds,
            kill_seconds=supervision.kill_seconds,
        )
        return cls(
            restart=supervision.policy(),
            times=times,
            retries=RetryPolicy(supervision.retry_share, supervision.retries_per_second),
            ejection=EjectionPolicy(supervision.ejection_seconds),
            queue_tokens=settings.limits.queue_tokens,
            reload_seconds=supervision.reload_timeout_seconds,
        )
