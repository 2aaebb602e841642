"""The client for code without asyncio: `AsyncClient` on an event loop in a thread of its own.

Threads may share one `Client`; their calls run at the same time and share its connections.
"""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from gateway.client.asynchronous import DEFAULT_URL, AsyncClient, LongDocuments, Options
from gateway.client.ranking import Ranking

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a thread from the first call until `stop`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread; return its result, or raise its exception."""
        try:
            loop = self._start()
        except RuntimeError:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        finally:
            future.cancel()  # after an interrupt such as Ctrl-C; without effect on a done future

    def stop(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel running coroutines, run one last coroutine, and end the thread."""
        with self._lock:
            loop, thread, self._stopped = self._loop, self._thread, True
            self._loop = self._thread = None
        if loop is None or thread is None:
            last.close()
            return
        asyncio.run_coroutine_threadsafe(_end(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._stopped:
                raise RuntimeError("the client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="rerank-client", daemon=True
                )
                self._thread.start()
            return self._loop


async def _end(last: Coroutine[Any, Any, None]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last


class Client:
    """Blocking client of a rerank gateway; see `AsyncClient` for the arguments."""

    def __init__(self, url: str = DEFAULT_URL, **options: Unpack[Options]) -> None:
        self._client = AsyncClient(url, **options)
        self._loop = LoopThread()

    def rerank(
        self,
        query: str,
        documents: Sequence[object],
        *,
        top_n: int | None = None,
        instruction: str | None = None,
        model: str | None = None,
        return_documents: bool = True,
        return_details: bool = False,
        long_documents: LongDocuments | None = None,
        max_passages: int | None = None,
        boosts: Mapping[str, float] | None = None,
        first_stage_weight: float = 0.0,
        timeout: float | None = None,
    ) -> Ranking:
        """Order documents by relevance to a query; see `AsyncClient.rerank`."""
        return self._loop.run(
            self._client.rerank(
                query,
                documents,
                top_n=top_n,
                return_details=return_details,
                long_documents=long_documents,
                max_passages=max_passages,
                instruction=instruction,
                model=model,
                return_documents=return_documents,
                boosts=boosts,
                first_stage_weight=first_stage_weight,
                timeout=timeout,
            )
        )

    def close(self) -> None:
        """Cancel running calls, close all connections, and end the thread."""
        self._loop.stop(self._client.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
