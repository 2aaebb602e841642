"""The client for code without asyncio: `AsyncClient` on an event loop in a thread of its own.

Threads may share one `Client`; their calls run at the same time and share its connections.
"""

import asyncio
import threading
from collections.abc import Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from gateway.client.asynchronous import DEFAULT_URL, AsyncClient, LongDocuments, Options
from gateway.client.ranking import Ranking

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a thread from the first call until `stop`.

    Args:
        owner: name of the thing that owns it, in errors.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._calls: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread; return its result, or raise its exception."""
        future = self.submit(coroutine)
        try:
            return future.result()
        finally:
            future.cancel()  # after an interrupt such as Ctrl-C; without effect on a done future

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin to run a coroutine in the thread."""
        try:
            loop = self._start()
        except RuntimeError:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(self._called(coroutine), loop)

    def stop(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what was submitted, run one last coroutine, and end the thread."""
        with self._lock:
            loop, thread, self._stopped = self._loop, self._thread, True
            self._loop = self._thread = None
        if loop is None or thread is None:
            last.close()
            return
        if threading.current_thread() is thread:  # the garbage collector runs in any thread
            ending = loop.create_task(self._end(last))
            ending.add_done_callback(lambda _: loop.stop())
            return
        asyncio.run_coroutine_threadsafe(self._end(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    async def _called(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = _current_task()
        self._calls.add(task)
        try:
            return await coroutine
        finally:
            self._calls.discard(task)

    async def _end(self, last: Coroutine[Any, Any, None]) -> None:
        await _cancel(set(self._calls))
        await last
        await _cancel(asyncio.all_tasks() - {_current_task()})

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._stopped:
                raise RuntimeError(f"the {self._owner} is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name=f"rerank-{self._owner}", daemon=True
                )
                self._thread.start()
            return self._loop


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


class Client:
    """Blocking client of a rerank gateway; see `AsyncClient` for the arguments."""

    def __init__(self, url: str = DEFAULT_URL, **options: Unpack[Options]) -> None:
        self._client = AsyncClient(url, **options)
        self._loop = LoopThread("client")

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
