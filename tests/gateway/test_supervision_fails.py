"""What becomes of the gateway when its own supervision fails."""

import asyncio
import signal

from gateway.fleet import _stop_gateway_if_failed


async def test_a_gateway_whose_supervision_fails_asks_itself_to_stop() -> None:
    """Without supervision its health would be a lie sooner or later."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    try:

        async def supervision() -> None:
            raise RuntimeError("a bug")

        running = loop.create_task(supervision())
        running.add_done_callback(_stop_gateway_if_failed)
        async with asyncio.timeout(10):
            await asked.wait()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
