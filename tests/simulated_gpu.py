"""A simulated GPU: operations on it compute shapes, formats, devices and bytes alone.

PyTorch's fake tensors have no numbers. An operation on tensors of two devices, of shapes that do
not fit or of formats that differ fails as it would on a GPU; the results of kernels are not
simulated. Two operations on fake tensors fail where PyTorch was built without CUDA. Indexing needs
the driver's device, so the operations behind it replace it; and memory is not pinned.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shards.engines.layers import fused, varlen

DEVICE = "cuda:0"


class _Simulation(TorchFunctionMode):
    """A mode that runs operations of the GPU on fake tensors, with indexing taken apart."""

    def __init__(self, held: "Held") -> None:
        super().__init__()
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self._held = held

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "pin_memory"}
        if function is torch.Tensor.pin_memory:
            self._held.pinned.append(args[0])
            return args[0]
        if not any(map(_concerns_gpu, tree_leaves((args, kwargs)))):
            return function(*args, **kwargs)
        if function is torch.Tensor.copy_ and not isinstance(args[0], FakeTensor):
            return args[0].zero_()  # the numbers of the GPU
        if not any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs))):
            self._held.note(function, args, is_free=kwargs.pop("non_blocking", False))
        kwargs.pop("non_blocking", None)
        with self._fakes, self._held:
            return _REPLACED.get(function, function)(*args, **kwargs)


def _concerns_gpu(part: object) -> bool:
    is_device = isinstance(part, str | torch.device)
    return isinstance(part, FakeTensor) or (is_device and str(part).startswith("cuda"))


class Held(TorchDispatchMode):
    """A count of the bytes of all live tensors on the GPU, without the scratch memory of kernels.

    Attributes:
        peak_bytes: the largest count so far.
        pinned: tensors of the CPU that were pinned.
        waits: copies to the GPU for which Python waits.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self.peak_bytes = 0
        self.pinned: list[torch.Tensor] = []
        self.waits: list[str] = []
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def note(self, function: Callable[..., Any], args: Sequence[Any], *, is_free: bool) -> None:
        """Note a copy to the GPU, unless it is asynchronous."""
        if function is torch.Tensor.to and not (
            is_free and any(tensor is args[0] for tensor in self.pinned)
        ):
            self.waits.append(f"a copy of {tuple(args[0].shape)}, not pinned")

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, FakeTensor) and tensor.device.type == "cuda":
                storage = tensor.untyped_storage()
                self._alive[storage._cdata] = (_weak(storage), storage.nbytes())
        self._alive = {at: held for at, held in self._alive.items() if _is_alive(held[0])}
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))
        return out


def _weak(storage: torch.UntypedStorage) -> StorageWeakRef:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]  # untyped in torch


def _is_alive(storage: StorageWeakRef) -> bool:
    return not storage.expired()  # type: ignore[no-untyped-call]  # untyped in torch


def _taken(tensor: torch.Tensor, index: Any) -> torch.Tensor:
    view, chosen = _viewed(tensor, index)
    return torch.ops.aten.index(view, chosen) if chosen else view


def _put(tensor: torch.Tensor, index: Any, value: Any) -> None:
    view, chosen = _viewed(tensor, index)
    if chosen:
        torch.ops.aten.index_put_(view, chosen, value)
    elif isinstance(value, torch.Tensor):
        torch.ops.aten.copy_(view, value)
    else:
        torch.ops.aten.fill_(view, value)


def _viewed(tensor: torch.Tensor, index: Any) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """Apply the slices and numbers of an index; return the view, and the tensors that index it."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(part is Ellipsis for part in parts):
        at = next(at for at, part in enumerate(parts) if part is Ellipsis)
        named = sum(part is not None for part in parts) - 1
        parts = (*parts[:at], *[slice(None)] * (tensor.dim() - named), *parts[at + 1 :])
    chosen: list[torch.Tensor | None] = []
    dim = 0
    for part in parts:
        if part is None:
            tensor = tensor.unsqueeze(dim)
        elif isinstance(part, int):
            tensor = tensor.select(dim, part)
            continue
        elif isinstance(part, slice):
            tensor = torch.ops.aten.slice(tensor, dim, part.start, part.stop, part.step or 1)
        else:
            chosen += [None] * (dim - len(chosen)) + [part]
        dim += 1
    return tensor, chosen


def _moved(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
    if isinstance(tensor, FakeTensor):
        return tensor.to(*args, **options)
    dtypes = [part for part in (*args, *options.values()) if isinstance(part, torch.dtype)]
    dtype = dtypes[0] if dtypes else tensor.dtype
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device=DEVICE)


_REPLACED: dict[Any, Callable[..., Any]] = {
    torch.Tensor.__getitem__: _taken,
    torch.Tensor.__setitem__: _put,
    torch.Tensor.to: _moved,
    torch.Tensor.copy_: torch.ops.aten.copy_,
}


class _Event:
    """A moment of a GPU at which all work is done."""

    def record(self, stream: object) -> None: ...

    def synchronize(self) -> None: ...


def _zeros(tensor: FakeTensor) -> Any:
    return torch.zeros(tuple(tensor.shape)).tolist()


def _in_fp32(module: torch.nn.Module) -> torch.nn.Module:
    """Replace `Module.float`, which cannot exchange fake tensors."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            setattr(part, name, torch.nn.Parameter(parameter.float(), requires_grad=False))
    return module


@contextmanager
def simulated_gpu(capability: tuple[int, int] = (9, 0)) -> Iterator[Held]:
    """Run the block with a GPU that has no numbers: all margins are 0."""
    cuda = torch.cuda
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "is_available", lambda: True)
        patch.setattr(cuda, "device_count", lambda: 1)
        patch.setattr(cuda, "get_device_name", lambda device: "Simulated")
        patch.setattr(cuda, "get_device_capability", lambda device: capability)
        patch.setattr(cuda, "is_bf16_supported", lambda **_: capability >= (8, 0))
        patch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
        patch.setattr(cuda, "Event", _Event)
        patch.setattr(cuda, "current_stream", lambda device: None)
        patch.setattr(FakeTensor, "tolist", _zeros)
        patch.setattr(torch.nn.Module, "float", _in_fp32)
        patch.setattr(varlen, "check", lambda *_: None)  # it compares numbers
        patch.setattr(fused, "find_spec", lambda name: None)  # no compiler: nothing is compiled
        varlen.choice.cache_clear()
        try:
            held = Held()
            with _Simulation(held), torch.no_grad():
                yield held
        finally:
            varlen.choice.cache_clear()
            fused.fusing.cache_clear()
