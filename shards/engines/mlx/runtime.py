"""The import of MLX, with a plain error where it is not installed."""

from types import ModuleType

from shards.machine import devices
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec


def expect_mlx(spec: ShardSpec) -> ModuleType:
    """Return `mlx.core`.

    Raises:
        Refusal: it cannot be imported, or the spec has another device.
    """
    if spec.device != devices.MLX:
        raise Refusal(
            f"the engine mlx computes on the device mlx, not on {spec.device}: set devices to mlx",
            ExitCode.SPEC,
        )
    try:
        import mlx.core as core
    except ImportError as error:
        raise Refusal(
            f"the device mlx needs a package that is not installed ({error}): "
            "pip install 'rerank-gateway[mlx]'",
            ExitCode.SPEC,
        ) from error
    return core


def backend_note(core: ModuleType) -> str:
    """Return a line for the operator: the release, and what computes."""
    where = "the GPU, by Metal" if core.metal.is_available() else "the CPU: there is no Metal here"
    return f"MLX {core.__version__} computes on {where}"
