"""Rows of Hugging Face `datasets` folders and Parquet files, by pyarrow (extra `data`).

- `save_to_disk` of a `Dataset`: `state.json`, and Arrow streams in the order that it names;
- `save_to_disk` of a `DatasetDict`: `dataset_dict.json`, and such a folder for each split;
- a folder of Parquet files as the hub has them, `data/test-00000-of-00001.parquet`; a split is the
  beginning of a name;
- a single `.parquet` or `.arrow` file.
"""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.cli import exit_codes
from gateway.cli.console import fail
from gateway.cli.inputs import BadInput, path_of

SUFFIXES = (".parquet", ".arrow")
_BATCH_ROWS = 1000
_SPLIT_SIGNS = "-_."


def is_dataset(file: str) -> bool:
    """Return whether a file or folder is read by this module."""
    path = path_of(file)
    return path.suffix.lower() in SUFFIXES or path.is_dir()


def dataset_rows(file: str, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and values of each row; end the command if pyarrow is not installed.

    Raises:
        BadInput: a file cannot be read, or there is no such split.
    """
    files = _files(path_of(file), split)
    if find_spec("pyarrow") is None:
        fail(
            f"{file} needs pyarrow: pip install 'rerank-gateway[data]', or in a checkout "
            ".venv/bin/pip install -c scripts/constraints.txt pyarrow",
            exit_codes.UNAVAILABLE,
        )
    from pyarrow import ArrowException

    for path in files:
        number = 0
        try:
            for batch in _batches(path):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
        except (OSError, ArrowException) as error:
            raise BadInput(f"{path} cannot be read after row {number}: {error}") from None


def _files(path: Path, split: str) -> list[Path]:
    """Return the files of a split, in order."""
    if not path.is_dir():
        return [path]
    if (path / "dataset_dict.json").is_file():
        return _files(path / _split_of(path, split), split)
    if (path / "state.json").is_file():
        names = _known(path / "state.json", "_data_files")
        return [path / str(each["filename"]) for each in names]
    found = sorted(path.rglob("*.parquet"))
    if not found:
        raise BadInput(
            f"{path} has no data: a folder has queries.jsonl and corpus.jsonl (BEIR), state.json "
            "or dataset_dict.json (`save_to_disk` of datasets), or .parquet files"
        )
    of_split = [file for file in found if _is_of(file, split)]
    if not of_split and any(sign in file.stem for file in found for sign in "-_"):
        names = sorted({file.stem.split("-")[0] for file in found})
        raise BadInput(f"{path} has no split {split!r}; its files begin with {', '.join(names)}")
    return of_split or found


def _is_of(file: Path, split: str) -> bool:
    rest = file.stem.removeprefix(split)
    return rest != file.stem and (not rest or rest[0] in _SPLIT_SIGNS)


def _split_of(path: Path, split: str) -> str:
    splits = [str(name) for name in _known(path / "dataset_dict.json", "splits")]
    if split in splits:
        return split
    if len(splits) == 1:
        return splits[0]
    raise BadInput(f"{path} has no split {split!r}; it has {', '.join(splits)}: give --split")


def _known(file: Path, key: str) -> list[Any]:
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))[key])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadInput(f"{file} cannot be read: {error!r}") from None


def _batches(path: Path) -> Iterator[Any]:
    if path.suffix.lower() == ".parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path) as table:
            yield from table.iter_batches(batch_size=_BATCH_ROWS)
        return
    from pyarrow import ArrowInvalid, OSFile, ipc

    with OSFile(str(path)) as source:
        try:
            yield from ipc.open_stream(source)  # as `datasets` writes them
            return
        except ArrowInvalid:
            source.seek(0)
        reader = ipc.open_file(source)
        yield from map(reader.get_batch, range(reader.num_record_batches))
