"""Folders of Hugging Face `datasets` and Parquet files as judged data.

Those that pyarrow reads are written by pyarrow here, in the layouts of `save_to_disk` and the hub.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.inputs import BadInput
from gateway.cli.measure import dataset_rows as module
from gateway.cli.measure.dataset_rows import dataset_rows, is_dataset
from gateway.cli.measure.judged import read_judged

ROWS = [
    {"query": "apples", "positive": ["red apples"], "negative": ["noon train", "green pears"]},
    {"query": "trains", "positive": ["noon train"], "negative": ["red apples"]},
]
needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
)


def write_arrow(path: Path, rows: list[dict[str, Any]], *, stream: bool = True) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
        writer.write_table(table)


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)


def saved(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a `Dataset` as its `save_to_disk` does: two files, in the order of their names."""
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for name, part in zip(names, (rows[:1], rows[1:]), strict=True):
        write_arrow(folder / name, part)
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def saved_dict(folder: Path) -> Path:
    saved(folder / "train", ROWS[::-1])
    saved(folder / "test", ROWS)
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return folder


def queries(path: Path, split: str = "test") -> list[str]:
    return [each.question.query for each in read_judged([str(path)], split)]


@needs_pyarrow
def test_every_layout_gives_the_same_rows(tmp_path: Path) -> None:
    write_parquet(tmp_path / "one.parquet", ROWS)
    write_arrow(tmp_path / "one.arrow", ROWS)
    write_arrow(tmp_path / "file.arrow", ROWS, stream=False)
    write_parquet(tmp_path / "hub/data/test-00000-of-00001.parquet", ROWS)
    write_parquet(tmp_path / "hub/data/train-00000-of-00001.parquet", ROWS[:1])
    write_parquet(tmp_path / "plain/all.parquet", ROWS)
    for path in (
        *("one.parquet", "one.arrow", "file.arrow", "hub", "plain"),
        *(saved(tmp_path / "saved", ROWS), saved_dict(tmp_path / "dict")),
    ):
        assert is_dataset(str(tmp_path / path))
        found = read_judged([str(tmp_path / path)], "test")
        assert [each.question.query for each in found] == ["apples", "trains"], path
        assert [each.labels for each in found] == [(1, 0, 0), (1, 0)], path


@needs_pyarrow
def test_a_split_is_chosen_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "hub/train-00000-of-00001.parquet", ROWS[:1])
    write_parquet(tmp_path / "hub/test-00000-of-00001.parquet", ROWS[1:])
    assert queries(tmp_path / "hub", "train") == ["apples"]
    assert queries(saved_dict(tmp_path / "dict"), "train") == ["trains", "apples"]
    with pytest.raises(BadInput, match="no split 'dev'; its files begin with test, train"):
        queries(tmp_path / "hub", "dev")
    with pytest.raises(BadInput, match="no split 'dev'; it has train, test: give --split"):
        queries(tmp_path / "dict", "dev")


@needs_pyarrow
def test_a_row_without_a_query_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "one.parquet", [*ROWS, {"query": None}])
    with pytest.raises(BadInput, match=r"one\.parquet, row 3: it has no query"):
        queries(tmp_path / "one.parquet")


@needs_pyarrow
def test_a_broken_file_is_named(tmp_path: Path) -> None:
    for name in ("one.parquet", "one.arrow"):
        (tmp_path / name).write_bytes(b"no table")
        with pytest.raises(BadInput, match=f"{name} cannot be read after row 0"):
            queries(tmp_path / name)


def test_a_folder_without_data_names_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no data: .*BEIR.*save_to_disk.*parquet"):
        list(dataset_rows(str(tmp_path), "test"))
    (tmp_path / "dataset_dict.json").write_text("[]")
    with pytest.raises(BadInput, match=r"dataset_dict\.json cannot be read"):
        list(dataset_rows(str(tmp_path), "test"))
    assert not is_dataset("labelled.jsonl")


@needs_pyarrow
@pytest.mark.parametrize(
    "arguments",
    [
        ("eval", "m=fake", "--engine", "fake", "--data"),
        ("eval", "m=fake", "--engine", "fake", "--candidates"),
        ("compare", "m=fake", "n=fake", "--engine", "fake", "--data"),
    ],
)
def test_commands_read_them(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, [*arguments, str(saved_dict(tmp_path)), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout).get("queries", 2) == 2


@pytest.mark.parametrize("command", ["eval", "compare", "calibrate"])
def test_a_missing_library_is_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.parquet").write_bytes(b"")
    real = importlib.util.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "pyarrow" else real(name))
    models = {"eval": ["m=fake", "--data"], "compare": ["m=fake", "n=fake", "--data"]}
    given = models.get(command, ["--model", "m=fake"])
    done = CliRunner().invoke(
        cli, [command, *given, str(tmp_path / "one.parquet"), "--engine", "fake"]
    )
    assert (done.exit_code, done.stderr.count("\n")) == (69, 1), done.output
    assert "pip install 'rerank-gateway[data]'" in done.stderr
