"""Checkpoints that are read in one process, and what happens to it."""

import threading
import time

import psutil
import pytest

from gateway.cli.models.reading import Reading, read_checkpoints
from gateway.config import ModelSettings, ModelSpec, Settings, model_specs
from tests import checkpoints

pytestmark = pytest.mark.timeout(400)  # each process imports torch


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, ...]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "empty").mkdir()
    sources = {
        "bert": checkpoints.bert(folder / "bert"),
        "empty": folder / "empty",
        "qwen3": checkpoints.qwen3(folder / "qwen3"),
    }
    models = {
        name: ModelSettings(source=str(source), devices=("cpu",))
        for name, source in sources.items()
    }
    models["demo"] = ModelSettings(source="fake", engine="fake", devices=("cpu",))
    return model_specs(Settings(models=models))


def _readers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if _is_reader(child)]


def _is_reader(process: psutil.Process) -> bool:
    try:
        return "shards.tools.read_checkpoint" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


def test_one_process_reads_all_of_them(specs: tuple[ModelSpec, ...]) -> None:
    seen: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            seen.update(child.pid for child in _readers())

    watching = threading.Thread(target=watch)
    watching.start()
    found = read_checkpoints(specs)
    ended.set()
    watching.join()
    assert len(seen) == 1
    assert found["empty"].refused.endswith("is not a checkpoint: it has no config.json")
    assert found["demo"] == Reading()
    assert found["bert"] == Reading("", ("encoder, a row for each label",))
    assert found["qwen3"].notes[0].startswith("decoder, logits of tokens, qwen3-reranker")
    assert not _readers()


def test_where_the_process_ends_the_others_are_read_by_another(
    specs: tuple[ModelSpec, ...],
) -> None:
    found: dict[str, Reading] = {}
    reading = threading.Thread(target=lambda: found.update(read_checkpoints(specs)))
    reading.start()
    while not (readers := _readers()):
        time.sleep(0.005)
    readers[0].kill()  # while it imports torch, which takes seconds
    reading.join()
    assert found["bert"].refused == "reading its files ended with -9: "
    assert found["qwen3"].refused == "" and found["qwen3"].notes
    assert found["empty"].refused.endswith("is not a checkpoint: it has no config.json")


def test_a_checkpoint_that_takes_too_long_is_given_up(specs: tuple[ModelSpec, ...]) -> None:
    found = read_checkpoints(specs[:1], seconds=0.01)
    assert found["bert"].refused == "its files took over 0.01 s to read"
    assert not _readers()
