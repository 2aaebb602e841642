"""The stored tensors of a quantised checkpoint, with a refusal by name where one does not fit."""

from collections.abc import Collection, Sequence

from shards.checkpoint.quantised.matrices import Headers, Read
from shards.refusal import Refusal


class Stored:
    """The stored tensors of a checkpoint.

    Args:
        file: the name of its config.json, for messages.
        headers: the description of each stored tensor.
        read: returns a stored tensor.
    """

    def __init__(self, file: str, headers: Headers, read: Read) -> None:
        self.file, self.read = file, read
        self._headers = headers

    def layers(self, part: str) -> list[str]:
        """Return the names of the layers that have a part, `layers.0.mlp.up_proj` for one."""
        ending = f".{part}"
        return [name.removesuffix(ending) for name in self._headers if name.endswith(ending)]

    def all_of(self, parts: Collection[str]) -> frozenset[str]:
        """Return the names of all stored tensors that are one of some parts."""
        return frozenset(
            name for name in self._headers if name.rpartition(".")[2] in frozenset(parts)
        )

    def of_dtype(self, dtype: str) -> list[str]:
        """Return the names of the tensors that are stored in a number format."""
        return [name for name in self._headers if self.dtype(name) == dtype]

    def __contains__(self, name: str) -> bool:
        return name in self._headers

    def dtype(self, name: str) -> str:
        """Return the number format of a tensor, as safetensors names it; empty without one."""
        return str(self._headers[name]["dtype"]) if name in self._headers else ""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor that has to be there."""
        if name not in self._headers:
            raise Refusal(f"{self.file}: there is no {name}; download the checkpoint again")
        return tuple(self._headers[name]["shape"])

    def matrix(self, name: str) -> tuple[int, int]:
        """Return the shape of a tensor that has to be a matrix."""
        shape = self.shape(name)
        if len(shape) != 2 or not all(shape):
            raise self.misfit(name, "a matrix")
        return shape[0], shape[1]

    def expect(
        self, name: str, dtypes: Collection[str], shapes: Sequence[Sequence[int]]
    ) -> tuple[int, ...]:
        """Return the shape of a tensor, which must be one of these, in one of these formats."""
        shape = self.shape(name)
        if self.dtype(name) not in dtypes or shape not in [tuple(one) for one in shapes]:
            wanted = " or ".join(str(list(one)) for one in shapes)
            raise self.misfit(name, f"{' or '.join(sorted(dtypes))} of the shape {wanted}")
        return shape

    def misfit(self, name: str, expected: str) -> Refusal:
        """Return a refusal of a tensor that is not what its config says."""
        found = f"{self.dtype(name)} {list(self.shape(name))}"
        return Refusal(
            f"{self.file}: {name} is stored as {found}, {expected} is expected: "
            "download the checkpoint again"
        )
