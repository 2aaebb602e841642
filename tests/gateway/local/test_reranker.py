"""`from gateway import Reranker`: scores without a server, and shards that end with it."""

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gateway import Reranker
from gateway.client import ClientError, InvalidRequest, Ranking, Unavailable
from gateway.domain.request import sigmoid
from shards.engines.fake import margin
from tests.gateway.cli.conftest import CLEAN

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 120.0
SCRIPT = """
import os, signal, sys
from gateway import Reranker
reranker = Reranker("m=fake", engine="fake", device="cpu")
print(len(reranker.rerank("q", ["a", "b"])), flush=True)
sys.stdin.readline()
"""
"""A script without a guard: its shards must not begin it anew."""


FORKS = """
import os, sys
from gateway import Reranker
reranker = Reranker("m=fake", engine="fake", device="cpu")
before = reranker._local.status().shards[0].generation
child = os.fork()
if not child:
    sys.exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
found = len(reranker.rerank("q", ["a", "b"]))
print(code, found, reranker._local.status().shards[0].generation == before)
"""


def fake() -> Reranker:
    return Reranker("m=fake", engine="fake", device="cpu")


@pytest.fixture(scope="module")
def reranker() -> Iterator[Reranker]:
    with fake() as reranker:
        yield reranker


def test_texts_are_cleaned_if_asked_for() -> None:
    with Reranker("m=fake", engine="fake", device="cpu", clean_text="html") as cleaning:
        ranking = cleaning.rerank("q", ["<p>a</p>"], return_details=True)
    (result,) = ranking
    assert result.details is not None
    assert result.details.margin == margin("q", "a")
    assert ranking.warnings == ("1 of 1 documents were cleaned before scoring (html)",)


def test_an_unknown_cleaner_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"clean_text: found 'htm'.*Did you mean html\?"):
        Reranker("m=fake", engine="fake", device="cpu", clean_text="htm")


def order(query: str, texts: list[str]) -> list[int]:
    return sorted(range(len(texts)), key=lambda index: -margin(query, texts[index]))


def indices(ranking: Ranking) -> list[int]:
    return [result.index for result in ranking]


def shards(of: int) -> list[psutil.Process]:
    """Return the processes that a process has spawned, but for those that track resources."""
    children = psutil.Process(of).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def until_gone(processes: list[psutil.Process]) -> None:
    """Wait without reaping them, which is the task of their parent."""
    end = time.monotonic() + PATIENCE_SECONDS
    while alive := [process for process in processes if process.is_running()]:
        assert time.monotonic() < end, alive
        time.sleep(0.02)


def test_scores_are_those_of_the_model(reranker: Reranker) -> None:
    texts = ["one", "two", "three"]
    ranking = reranker.rerank("which?", texts, return_details=True)
    assert reranker.model == ranking.model == "m"
    assert indices(ranking) == order("which?", texts)
    for result in ranking:
        assert result.relevance_score == sigmoid(margin("which?", texts[result.index]))
        assert result.details is not None
        assert result.details.span == (0, len(texts[result.index]))
        assert result.document == texts[result.index]
    assert indices(reranker.rerank("which?", texts, top_n=1)) == order("which?", texts)[:1]


def test_a_list_of_any_length_is_ranked(reranker: Reranker) -> None:
    texts = [f"document {number}" for number in range(12_000)]  # the server's limit is 10,000
    assert indices(reranker.rerank("q", texts)) == order("q", texts)


def test_errors_are_those_of_the_server(reranker: Reranker) -> None:
    with pytest.raises(InvalidRequest, match="documents is empty: send at least one document"):
        reranker.rerank("q", [])
    with pytest.raises(InvalidRequest, match="query"):
        reranker.rerank("", ["a"])
    with pytest.raises(ClientError, match="model 'm' did not answer within 0 s"):
        reranker.rerank("q", ["a"], timeout=0)


def test_wrong_arguments_name_themselves() -> None:
    with pytest.raises(InvalidRequest, match=r"^dtype: found 'bf17': input should be 'auto'"):
        Reranker("m=fake", dtype="bf17", engine="fake")
    with pytest.raises(InvalidRequest, match=r"^device: found 'xpu'"):
        Reranker("m=fake", device=["cpu", "xpu"], engine="fake")


def test_a_model_that_is_refused_says_why_and_leaves_nothing() -> None:
    before = {child.pid for child in shards(os.getpid())}
    with pytest.raises(Unavailable, match="there is no folder /nowhere"):
        Reranker("/nowhere")
    assert {child.pid for child in shards(os.getpid())} <= before


async def test_it_works_beside_a_running_loop(reranker: Reranker) -> None:
    texts = ["one", "two"]
    assert indices(reranker.rerank("q", texts)) == order("q", texts)  # as in a notebook's cell
    calls = [reranker.arerank(f"q{number}", texts) for number in range(20)]
    found = await asyncio.gather(*calls)
    assert [indices(each) for each in found] == [order(f"q{n}", texts) for n in range(20)]
    async with Reranker("m=fake", engine="fake", device="cpu", wait=False) as another:
        processes = shards(os.getpid())
        assert indices(await another.arerank("q", texts, top_n=1)) == order("q", texts)[:1]
    with pytest.raises(RuntimeError, match="the reranker is closed"):
        await another.arerank("q", texts)
    assert len([process for process in processes if not process.is_running()]) == 1


async def test_a_cancelled_call_ends_alone(reranker: Reranker) -> None:
    call = asyncio.create_task(reranker.arerank("q", ["a"] * 5000))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await reranker.arerank("q", ["a", "b"])) == 2


def test_threads_share_one(reranker: Reranker) -> None:
    found: dict[int, list[int]] = {}
    texts = [f"document {number}" for number in range(50)]

    def score(number: int) -> None:
        found[number] = indices(reranker.rerank(f"q{number}", texts))

    threads = [threading.Thread(target=score, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: order(f"q{number}", texts) for number in range(8)}


def test_its_shards_end_with_the_object() -> None:
    before = {child.pid for child in shards(os.getpid())}
    reranker = fake()
    (shard,) = [child for child in shards(os.getpid()) if child.pid not in before]
    del reranker
    gc.collect()
    until_gone([shard])


def test_the_garbage_collector_may_run_in_its_own_thread() -> None:
    before = {child.pid for child in shards(os.getpid())}
    reranker = fake()
    reranker.itself = reranker  # type: ignore[attr-defined]  # a cycle
    (shard,) = [child for child in shards(os.getpid()) if child.pid not in before]
    thread = reranker._thread
    gc.disable()
    try:
        del reranker

        async def collect() -> None:
            gc.collect()

        thread.submit(collect()).exception(PATIENCE_SECONDS)
    finally:
        gc.enable()
    until_gone([shard])


def test_a_fork_has_none_and_leaves_its_parents(reranker: Reranker) -> None:
    before = {child.pid for child in shards(os.getpid())}
    child = os.fork()
    if not child:
        try:
            reranker.rerank("q", ["a"])
        except RuntimeError as error:
            reranker.close()
            os._exit(0 if "belongs to the process that made it" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(reranker.rerank("q", ["a"])) == 1
    assert {child.pid for child in shards(os.getpid())} == before


def test_the_exit_of_a_fork_leaves_the_shards_of_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS], env={**CLEAN, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 2 True\n", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None], ids=str)
def test_its_shards_end_with_the_process(number: signal.Signals | None, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**CLEAN, "PYTHONPATH": str(ROOT)}, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "2\n", process.stderr.read()
        processes = shards(process.pid)
        assert processes
        if number is None:
            process.stdin.close()  # it ends by itself, and left its Reranker open
        else:
            process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == (0 if number is None else -number)
        until_gone(processes)
        assert process.stderr.read() == ""  # a shard that is ended on purpose is no loss


def test_a_crash_is_scored_again(reranker: Reranker) -> None:
    for shard in shards(os.getpid()):
        shard.kill()
    end = time.monotonic() + PATIENCE_SECONDS
    assert len(reranker.rerank("q", ["a", "b"])) == 2
    assert time.monotonic() < end


def test_importing_the_package_stays_light() -> None:
    code = "import sys, gateway, gateway.client; print('pydantic' in sys.modules, *dir(gateway))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
    with pytest.raises(AttributeError, match="no attribute 'Rerank'"):
        _ = __import__("gateway").Rerank


def test_the_example_of_the_documents_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(code, {"__name__": "__notebook__"})
    assert "Paris is the capital of France." in capsys.readouterr().out


def test_a_start_that_fails_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise OSError("no memory is left")

    monkeypatch.setattr("gateway.local.reranker._start", fail)
    before = threading.active_count()
    with pytest.raises(OSError, match="no memory is left"):
        fake()
    assert threading.active_count() == before
