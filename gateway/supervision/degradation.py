"""Degradation: what a shard does without after it failed for want of it. Pure: time is passed in.

- *Memory.* After an out-of-memory kill the next generation begins with batches half as large, and
  raises them again by itself (`shards.worker.token_budget`). After ten minutes without another such
  kill, a new generation begins with whole batches.
- *Its GPU*, if the operator allows it (`supervision.cpu_after_gpu_failures`): a shard whose device
  fails again and again within ten minutes goes on on the CPU: slowly, but it goes on. It stays
  there until the model is reloaded. A failure that a pair caused (see `quarantine`) is not held
  against the device.
"""

from collections import deque
from dataclasses import replace

from shards.wire.spec import ShardSpec

_MEMORY_SECONDS = 600.0
_DEVICE_SECONDS = 600.0


class Degradation:
    """The reduced memory and device of one shard.

    Attributes:
        oom_kills: the number of its out-of-memory kills.
        is_demoted: whether it has left its GPU for the CPU.
    """

    def __init__(self, spec: ShardSpec, cpu_after_gpu_failures: int = 0) -> None:
        """Begin without any.

        Args:
            spec: the shard, as it is configured.
            cpu_after_gpu_failures: failures after which it leaves its GPU; 0 for never.
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
        """Return the spec of the next generation."""
        spec = on_cpu(self._spec) if self.is_demoted else self._spec
        return replace(spec, generation=generation, first_token_budget=self._first_budget(now))

    def _first_budget(self, now: float) -> int:
        """Return the tokens of the first batches; 0 for the whole budget."""
        if now - self._last_oom >= _MEMORY_SECONDS:
            self._halvings = 0
        return max(1, self._full_budget >> self._halvings) if self._halvings else 0

    def record_oom_kill(self, now: float, token_budget: int) -> None:
        """Halve the first batches of the next generation.

        Args:
            now: the time of the kill.
            token_budget: the most tokens of its batches; 0 if it never was ready.
        """
        self._first_budget(now)
        self.oom_kills += 1
        self._last_oom = now
        self._full_budget = token_budget or self._full_budget
        self._halvings += bool(self._full_budget)

    @property
    def device_failures(self) -> int:
        """The failures that are held against its GPU."""
        return len(self._failures)

    def record_device_failure(self, now: float) -> bool:
        """Record that its GPU failed or could not be used; return whether the shard leaves it."""
        if not self._limit or self.is_demoted or self._spec.device == "cpu":
            return False
        self._failures.append(now)
        while self._failures[0] <= now - _DEVICE_SECONDS:
            self._failures.popleft()
        self.is_demoted = len(self._failures) >= self._limit
        return self.is_demoted

    def leave_missing_device(self) -> bool:
        """Leave a GPU that the machine has lost; return whether the policy allows it."""
        self.is_demoted = bool(self._limit) and self._spec.device != "cpu"
        return self.is_demoted

    def forgive(self) -> None:
        """Forget the last failure of the device: a pair caused it."""
        if self._failures and not self.is_demoted:
            self._failures.pop()

    def warnings(self, now: float) -> tuple[str, ...]:
        """Return one text for the operator for each reduction."""
        warnings = []
        if self.is_demoted:
            warnings.append(
                f"{self._spec.device} failed too often (supervision.cpu_after_gpu_failures): it "
                f"runs on the CPU until `gateway reload {self._spec.model}`"
            )
        if budget := self._first_budget(now):
            warnings.append(
                "the kernel ended it because memory ran out: its batches begin with "
                f"{budget} tokens instead of {self._full_budget}; fewer replicas, a lower "
                "token_budget or more memory keep it from happening again"
            )
        return tuple(warnings)


def on_cpu(spec: ShardSpec) -> ShardSpec:
    """Return the same shard on the CPU; settings made for the GPU are chosen anew."""
    dtype = "auto" if spec.dtype == "fp16" else spec.dtype
    return replace(spec, device="cpu", dtype=dtype, token_budget=0)
