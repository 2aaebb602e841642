"""What all models of a gateway share."""

from dataclasses import dataclass, field

from gateway.config import Settings
from gateway.lifecycle import RestartPolicy
from gateway.supervisor import Times


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPolicy:
    """What all models of a gateway share.

    Attributes:
        restart: when a lost shard is started again.
        times: how patient the supervisors are.
        queue_tokens: the most estimated tokens of one model's requests at any time.
    """

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    times: Times = field(default_factory=Times)
    queue_tokens: int = 2_000_000

    @classmethod
    def of(cls, settings: Settings) -> "FleetPolicy":
        """Return what the settings say."""
        supervision = settings.supervision
        times = Times(
            load_timeout_seconds=supervision.load_timeout_seconds,
            stop_seconds=supervision.stop_seconds,
        )
        return cls(
            restart=supervision.policy(), times=times, queue_tokens=settings.limits.queue_tokens
        )
