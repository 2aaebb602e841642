"""A GPU that is not there: what would run on it is run for shapes, formats, devices and bytes alone.

PyTorch's fake tensors have no numbers. An operation on tensors of two devices, of shapes that do not fit
or of formats that differ fails as it would on a GPU; what kernels compute is not seen. Two things that
fake tensors cannot do where PyTorch was built without CUDA are done otherwise: indexing asks the driver
for its device, so it is spelled out as the operations it stands for; and memory is not pinned.
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

from shards.engines import fused, varlen

DEVICE = "cuda:0"


class _Pretending(TorchFunctionMode):
    """Has what concerns the GPU done with fake tensors, and indices taken apart."""

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
            return args[0].zero_()  # what comes back from the GPU
        if not any(isinstance(one, FakeTensor) for one in tree_leaves((args, kwargs))):
            self._held.note(function, args, is_free=kwargs.pop("non_blocking", False))
        kwargs.pop("non_blocking", None)
        with self._fakes, self._held:
            return _SPELLED.get(function, function)(*args, **kwargs)


def _concerns_gpu(part: object) -> bool:
    is_device = isinstance(part, str | torch.device)
    return isinstance(part, FakeTensor) or (is_device and str(part).startswith("cuda"))


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors on the GPU that are alive; what kernels take meanwhile is not seen.

    Attributes:
        peak_bytes: the most so far.
        pinned: tensors of the CPU that were pinned.
        waits: copies to the GPU for which Python waits.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self.pinned: list[torch.Tensor] = []
        self.waits: list[str] = []
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def note(self, function: Callable[..., Any], args: Sequence[Any], *, is_free: bool) -> None:
        """Note a copy to the GPU, unless it is one that nobody waits for."""
        if function is torch.Tensor.to and not (
            is_free and any(one is args[0] for one in self.pinned)
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
        self._alive = {at: one for at, one in self._alive.items() if not one[0].expired()}  # type: ignore[no-untyped-call]
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))
        return out


def _weak(storage: torch.UntypedStorage) -> StorageWeakRef:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


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
    """Return what slices and numbers leave of a tensor, and by which tensors rows of it are chosen."""
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


def _moved(tensor: torch.Tensor, *asked: Any, **options: Any) -> torch.Tensor:
    if isinstance(tensor, FakeTensor):
        return tensor.to(*asked, **options)
    forms = [part for part in (*asked, *options.values()) if isinstance(part, torch.dtype)]
    form = forms[0] if forms else tensor.dtype
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=form, device=DEVICE)


_SPELLED: dict[Any, Callable[..., Any]] = {
    torch.Tensor.__getitem__: _taken,
    torch.Tensor.__setitem__: _put,
    torch.Tensor.to: _moved,
    torch.Tensor.copy_: torch.ops.aten.copy_,
}


class _Event:
    """A moment of a GPU at which everything has been done."""

    def record(self, stream: object) -> None: ...

    def synchronize(self) -> None: ...


def _zeros(tensor: FakeTensor) -> Any:
    return torch.zeros(tuple(tensor.shape)).tolist()


def _in_fp32(module: torch.nn.Module) -> torch.nn.Module:
    """Do what `Module.float` does, which cannot exchange fake tensors."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            setattr(part, name, torch.nn.Parameter(parameter.float(), requires_grad=False))
    return module


@contextmanager
def pretended_gpu(capability: tuple[int, int] = (9, 0)) -> Iterator[Held]:
    """Have everything that happens meanwhile happen on a GPU that has no numbers: all margins are 0."""
    cuda = torch.cuda
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "is_available", lambda: True)
        patch.setattr(cuda, "device_count", lambda: 1)
        patch.setattr(cuda, "get_device_name", lambda device: "Pretended")
        patch.setattr(cuda, "get_device_capability", lambda device: capability)
        patch.setattr(cuda, "is_bf16_supported", lambda **asked: capability >= (8, 0))
        patch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
        patch.setattr(cuda, "Event", _Event)
        patch.setattr(cuda, "current_stream", lambda device: None)
        patch.setattr(FakeTensor, "tolist", _zeros)
        patch.setattr(torch.nn.Module, "float", _in_fp32)
        patch.setattr(varlen, "prove", lambda *asked: None)  # it looks at numbers
        patch.setattr(fused, "find_spec", lambda name: None)  # nothing is compiled for it
        varlen.choice.cache_clear()
        try:
            held = Held()
            with _Pretending(held), torch.no_grad():
                yield held
        finally:
            varlen.choice.cache_clear()
            fused.fusing.cache_clear()
