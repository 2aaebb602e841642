"""Makes the supervisors of a gateway under test wait for the end of their shards, and not look."""

from gateway.life import Life
from gateway.supervisor import Supervisor


async def _wait(_self: Supervisor, life: Life) -> None:
    await life.ended.wait()


Supervisor._watch = _wait  # type: ignore[assignment, method-assign]
