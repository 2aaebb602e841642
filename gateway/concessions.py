"""What a shard does without, after it has failed for want of it. Pure: time is passed in, in seconds.

- *Memory.* When the kernel ends a shard because memory ran out, its next life begins with batches half
  as large as the last one's, and finds out by itself how large they may be again (`shards.budget`).
  Ten minutes without another such end, and a new life begins as if nothing had been.
- *Its GPU*, if the operator wants that (`supervision.cpu_after_gpu_failures`): a device that fails
  again and again within ten minutes is left, and the shard goes on on the CPU: slowly, but it goes on.
  It stays there until the model is reloaded. What a pair did that was found guilty of it (see
  `quarantine`) is not held against the device.
"""

from collections import deque
from dataclasses import replace

from shards.wire.spec import ShardSpec

_MEMORY_SECONDS = 600.0
_DEVICE_SECONDS = 600.0


class Concessions:
    """What one shard does without.

    Attributes:
        oom_kills: how often the kernel ended it because memory ran out.
        is_demoted: whether it has left its GPU for the CPU.
    """

    def __init__(self, spec: ShardSpec, cpu_after_gpu_failures: int = 0) -> None:
        """Begin without any.

        Args:
            spec: the shard, as it is configured.
            cpu_after_gpu_failures: after how many it leaves its GPU; 0 for never.
        """
        self.oom_kills = 0
        self.is_demoted = False
        self._spec = spec
        self._limit = cpu_after_gpu_failures
        self._failures: deque[float] = deque()
        self._halvings = 0
        self._full_budget = 0
        self._last_oom = float("-inf")

    def spec(self, generation: int, now: float) -> ShardSpec:
        """Return what the next life is told."""
        spec = on_cpu(self._spec) if self.is_demoted else self._spec
        return replace(spec, generation=generation, first_token_budget=self._first_budget(now))

    def _first_budget(self, now: float) -> int:
        """Return the tokens of the first batches; 0 for as many as ever."""
        if now - self._last_oom >= _MEMORY_SECONDS:
            self._halvings = 0
        return max(1, self._full_budget >> self._halvings) if self._halvings else 0

    def oom_killed(self, now: float, token_budget: int) -> None:
        """The kernel ended it because memory ran out.

        Args:
            now: when.
            token_budget: the most tokens of its batches; 0 if it never came so far.
        """
        self._first_budget(now)
        self.oom_kills += 1
        self._last_oom = now
        self._full_budget = token_budget or self._full_budget
        self._halvings += bool(self._full_budget)

    @property
    def device_failures(self) -> int:
        """How many are held against its GPU."""
        return len(self._failures)

    def device_failed(self, now: float) -> bool:
        """Its GPU failed, or could not be started on; return whether it is left for that."""
        if not self._limit or self.is_demoted or self._spec.device == "cpu":
            return False
        self._failures.append(now)
        while self._failures[0] <= now - _DEVICE_SECONDS:
            self._failures.popleft()
        self.is_demoted = len(self._failures) >= self._limit
        return self.is_demoted

    def device_is_gone(self) -> bool:
        """Its GPU is not there any more; return whether it is left for that."""
        self.is_demoted = bool(self._limit) and self._spec.device != "cpu"
        return self.is_demoted

    def forgive(self) -> None:
        """The last failure was a pair's doing."""
        if self._failures and not self.is_demoted:
            self._failures.pop()

    def warnings(self, now: float) -> tuple[str, ...]:
        """Say what it does without, in words."""
        said = []
        if self.is_demoted:
            said.append(
                f"{self._spec.device} failed too often (supervision.cpu_after_gpu_failures): it "
                f"runs on the CPU until `gateway reload {self._spec.model}`"
            )
        if budget := self._first_budget(now):
            said.append(
                "the kernel ended it because memory ran out: its batches begin with "
                f"{budget} tokens instead of {self._full_budget}; fewer replicas, a lower "
                "token_budget or more memory keep it from happening again"
            )
        return tuple(said)


def on_cpu(spec: ShardSpec) -> ShardSpec:
    """Return the same shard on the CPU; what was chosen for the GPU is chosen anew."""
    dtype = "auto" if spec.dtype == "fp16" else spec.dtype
    return replace(spec, device="cpu", dtype=dtype, token_budget=0)
