"""The folder of a source on this machine: a folder as it is, or the hub's cache, filled if needed.

A GGUF file, or a folder with one, has a folder that is made of it.

The cache comes first, so that a restart neither waits for the network nor changes the weights under
a running service. `gateway download NAME` fetches a newer revision.
"""

import io
import re
import threading
from pathlib import Path
from typing import Any

from shards.checkpoint.gguf import gguf_in, unfolded
from shards.checkpoint.sentence_files import module_folders
from shards.checkpoint.weights import weight_files
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

FILES_NEEDED = (
    *("*.json", "model*.safetensors", "*/model.safetensors", "*.txt", "*.model", "*.jinja"),
    "artifact.metadata",  # of ColBERT
)
"""The files that are read of a checkpoint, with the folders of its modules (`1_LogitScore`)."""

FILES_NOT_NEEDED = (
    *("onnx/*", "openvino/*", "original/*", "*.bin.index.json", "*/onnx/*", "checkpoint-*/*"),
)

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")
_MEGABYTE = 1_000_000


def find_folder(spec: ShardSpec, report: Report) -> Path:
    """Return the folder of `spec.source`; download missing files unless offline.

    Raises:
        Refusal: the source is neither a folder nor a repository that can be reached, or a file that
            cannot be served.
    """
    folder = Path(spec.source).expanduser()
    if file := gguf_in(folder):
        return unfolded(file)
    if folder.is_dir():
        return folder
    if not _HUB_ID.match(spec.source):
        raise Refusal(f"there is no folder {spec.source}")
    return _cached(spec) or _downloaded(spec, report)


def _cached(spec: ShardSpec) -> Path | None:
    """Return the snapshot in the cache if it is whole."""
    try:
        folder = Path(_snapshot(spec, local_files_only=True))
        weight_files(folder)
        if not all(any((folder / module).glob("*")) for module in module_folders(folder)):
            return None
    except (OSError, ValueError, Refusal):
        return None
    return folder if (folder / "config.json").is_file() else None


def _downloaded(spec: ShardSpec, report: Report) -> Path:
    from huggingface_hub import constants, errors

    if spec.offline or constants.HF_HUB_OFFLINE:
        raise Refusal(
            f"{spec.source} is neither a folder nor whole in the hub's cache "
            f"({constants.HF_HUB_CACHE}), and offline is set: run `gateway download {spec.source}`"
        )
    report(f"downloading {spec.source}")
    try:
        return Path(_snapshot(spec, tqdm_class=_progress(spec.source, report)))
    except errors.GatedRepoError as error:
        raise Refusal(
            f"{spec.source} asks for its terms to be accepted: do so on the hub, set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise Refusal(f"{spec.source} has no revision {spec.revision!r} on the hub") from error
    except errors.RepositoryNotFoundError as error:
        raise Refusal(
            f"{spec.source} is neither a folder nor a repository on the hub (for a private one "
            "set HF_TOKEN)"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # the network, in its many forms
        reason = str(error).strip().split("\n")[0]
        raise Refusal(
            f"{spec.source} is not in the hub's cache and the hub cannot be reached "
            f"({type(error).__name__}: {reason}): run `gateway download {spec.source}` where it "
            "can, or give a folder",
            ExitCode.TEMPORARY,
        ) from error


def _snapshot(spec: ShardSpec, **how: Any) -> str:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        spec.source,
        revision=spec.revision or None,
        allow_patterns=list(FILES_NEEDED),
        ignore_patterns=list(FILES_NOT_NEEDED),
        **how,
    )
    return str(folder)


def _progress(source: str, report: Report) -> type:
    """Return a tqdm class that reports bytes as lines, about one a second."""
    from tqdm import tqdm  # type: ignore[import-untyped]  # tqdm has no types

    reporting = threading.Lock()  # files are fetched in threads

    class Progress(tqdm):  # type: ignore[misc]  # for the same reason
        monitor_interval = 0  # no thread of its own

        def __init__(self, *args: Any, **settings: Any) -> None:
            quiet = {"disable": False, "file": io.StringIO(), "mininterval": 1.0}
            settings.pop("name", None)
            super().__init__(*args, **(settings | quiet))

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if self.unit == "B" and self.total:
                done, total = round(self.n / _MEGABYTE), round(self.total / _MEGABYTE)
                with reporting:
                    report(f"downloading {source}, {done} of {total} MB")

    return Progress
