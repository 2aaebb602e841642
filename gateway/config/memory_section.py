"""Section `[memory_budget]`: the memory that the shards of all models may take together."""

from pydantic import Field

from gateway.config.sections import Section


class MemoryBudgetSettings(Section):
    """Memory for the shards of all models, and the times that keep them from thrashing."""

    machine_mb: int | None = Field(default=None, ge=0, le=100_000_000)
    """Memory of this machine for all shards together, in MiB, the peaks of loads included; 0 for no
    budget. Unset: what is available at the start, within the limits of cgroups, less `reserve_mb`,
    if any model may be unloaded (`load`, `idle_seconds`), and no budget otherwise."""

    gpu_mb: int = Field(default=0, ge=0, le=100_000_000)
    """Memory of each GPU for all shards there together, in MiB; 0 for no budget."""

    reserve_mb: int | None = Field(default=None, ge=0, le=100_000_000)
    """Memory left to the gateway and to other programs where `machine_mb` is unset, in MiB. Unset:
    1024, and at most a quarter of what is available."""

    stay_seconds: float = Field(default=20.0, ge=0, le=86_400, allow_inf_nan=False)
    """Minimum stay of a loaded model before another one may push it out, in seconds."""

    cool_seconds: float = Field(default=10.0, ge=0, le=86_400, allow_inf_nan=False)
    """Time after a model was pushed out in which it pushes out no other, in seconds."""

    patience_seconds: float = Field(default=10.0, ge=0, le=86_400, allow_inf_nan=False)
    """Time that a model waits for others with work inside, in seconds. After it they finish the
    requests inside, let new ones wait, and make way."""
