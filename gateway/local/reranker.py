"""`Reranker`: a model in shards of this process's own, for programs and notebooks.

The shards are watched by an event loop in a thread of its own, so that calls work from any thread
and beside any running loop, as in Jupyter. They end with `close`, with the `with` block, with the
object, and with the process, also one that is killed.
"""

import asyncio
import atexit
import os
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, NoReturn, Self, TypedDict, Unpack

from gateway.client.asynchronous import LongDocuments
from gateway.client.errors import InvalidRequest, Unavailable
from gateway.client.ranking import Ranking
from gateway.client.synchronous import LoopThread
from gateway.config import ConfigError, Problem, Settings
from gateway.config.one_model import settings_of_one
from gateway.local.client import LocalClient
from gateway.local.local_model import LocalModel
from gateway.serving.revision_check import RevisionFailed

TIMEOUT_SECONDS = 600.0


class CallOptions(TypedDict, total=False):
    """Options of one call; see `AsyncClient.rerank`."""

    top_n: int | None
    instruction: str | None
    return_documents: bool
    return_details: bool
    long_documents: LongDocuments | None
    max_passages: int | None
    boosts: Mapping[str, float] | None
    first_stage_weight: float
    timeout: float | None


class Reranker:
    """A reranker without a server.

        with Reranker("embedded") as reranker:
            ranking = reranker.rerank("capital of France", ["Berlin is big.", "Paris is it."])

    The model passes the checks of the server before it scores, and a shard that crashes is started
    again. Threads may share one; calls in a coroutine are `await reranker.arerank(...)`.

    Args:
        model: an embedded model, a Hugging Face id, a folder, or `NAME=SOURCE`; unset for
            `embedded`.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`, or a list of them.
        dtype: `auto`, `fp32`, `bf16`, `fp16` or `int8`.
        replicas: number of shards in total; unset for one per device.
        threads: number of compute threads per shard; unset for one per core.
        engine: `auto`, or the name of an engine.
        canary: the check of known pairs: `full`, `own` or `numeric`.
        instruction: definition of relevance of calls that give none.
        clean_text: cleaning of texts before they are scored, `html,zero-width,nfkc` or some.
        timeout: time limit of a call without its own, in seconds.
        wait: false to return while the model loads; the first call then waits for it.

    Raises:
        InvalidRequest: an argument is wrong.
        Unavailable: the model cannot be served; the message has the reason.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str | Sequence[str] | None = None,
        dtype: str | None = None,
        replicas: int | None = None,
        threads: int | None = None,
        engine: str | None = None,
        canary: str | None = None,
        instruction: str | None = None,
        clean_text: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        wait: bool = True,
    ) -> None:
        given = {"dtype": dtype, "replicas": replicas, "threads": threads, "engine": engine}
        devices = (device,) if isinstance(device, str) else device
        options = {**given, "canary": canary, "clean_text": clean_text, "devices": devices}
        settings = _settings(model, options)
        self._instruction = instruction
        self._pid = os.getpid()
        self._thread = LoopThread("reranker")
        try:
            self._local, self._client = self._thread.run(_start(settings, timeout))
        except BaseException:  # an interrupt, or a machine without memory
            self._thread.stop(asyncio.sleep(0))
            raise
        self._close = weakref.finalize(self, _stop, self._thread, self._local, self._pid)
        self._close.atexit = False  # `_close_at_exit` comes earlier
        _close_at_exit()
        _open.add(self)
        if wait:
            try:
                self._thread.run(_until_ready(self._local))
            except BaseException:
                self.close()
                raise

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._local.name

    def rerank(
        self,
        query: str,
        documents: Sequence[object],
        *,
        top_n: int | None = None,
        instruction: str | None = None,
        return_documents: bool = True,
        return_details: bool = False,
        long_documents: LongDocuments | None = None,
        max_passages: int | None = None,
        boosts: Mapping[str, float] | None = None,
        first_stage_weight: float = 0.0,
        timeout: float | None = None,
    ) -> Ranking:
        """Order documents by relevance to a query; see `gateway.client.AsyncClient.rerank`."""
        self._check_process()
        return self._thread.run(
            self._client.rerank(
                query,
                documents,
                top_n=top_n,
                instruction=instruction or self._instruction,
                return_documents=return_documents,
                return_details=return_details,
                long_documents=long_documents,
                max_passages=max_passages,
                boosts=boosts,
                first_stage_weight=first_stage_weight,
                timeout=timeout,
            )
        )

    async def arerank(
        self, query: str, documents: Sequence[object], **options: Unpack[CallOptions]
    ) -> Ranking:
        """Do the same in a coroutine of any event loop, which goes on meanwhile."""
        self._check_process()
        options["instruction"] = options.get("instruction") or self._instruction
        call = self._client.rerank(query, documents, **options)
        return await asyncio.wrap_future(self._thread.submit(call))

    def close(self) -> None:
        """Cancel running calls, and end the shards; harmless when repeated."""
        self._close()

    async def aclose(self) -> None:
        """Do the same in a coroutine."""
        await asyncio.to_thread(self.close)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this Reranker belongs to the process that made it, before a fork: make another "
                "one in this process"
            )

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Reranker cannot be sent to another process: make one there")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.wrap_future(self._thread.submit(_until_ready(self._local)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


_open: "weakref.WeakSet[Reranker]" = weakref.WeakSet()


@cache
def _close_at_exit() -> None:
    """Have all shards ended before `multiprocess` ends them, which would look like crashes.

    What is registered last runs first, and `multiprocess` has registered with the first shard.
    """
    atexit.register(_close_all)


def _close_all() -> None:
    for reranker in list(_open):
        reranker.close()


def _settings(model: str | None, options: Mapping[str, Any]) -> Settings:
    try:
        return settings_of_one(model, options)
    except ConfigError as error:
        raise InvalidRequest("\n".join(map(_argument_problem, error.problems))) from None


def _argument_problem(problem: Problem) -> str:
    """Return the text of a problem, where a key of the model is the argument that set it."""
    is_argument = problem.origin == "flag --model" and len(problem.path) > 2
    name = str(problem.path[2]).replace("devices", "device") if is_argument else ""
    return f"{name}: {problem.message}. {problem.remedy}" if name else str(problem)


async def _start(settings: Settings, timeout_seconds: float) -> tuple[LocalModel, LocalClient]:
    local = LocalModel(settings, stops_process=False)
    await local.start()
    return local, LocalClient(local, settings.request_limits(), timeout_seconds)


async def _until_ready(local: LocalModel) -> None:
    try:
        await local.until_ready()
    except RevisionFailed as error:
        raise Unavailable(str(error)) from None


def _stop(thread: LoopThread, local: LocalModel, pid: int) -> None:
    """Stop a model; a process that was forked has neither its thread nor its shards."""
    if os.getpid() == pid:
        thread.stop(local.stop())
