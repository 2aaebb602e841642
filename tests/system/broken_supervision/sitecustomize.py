"""Makes the supervisor of a gateway under test raise where it should wait for the next start."""

from gateway.lifecycle import Event
from gateway.supervisor import Supervisor


async def _fail(_self: Supervisor, _event: Event) -> None:
    raise RuntimeError("a bug of ours, put here by a test")


Supervisor._rest = _fail  # type: ignore[assignment, method-assign]
