"""A folder whose model is an exported graph: the ONNX file that is meant, and its content.

Folders have the hub's layout: graphs in `onnx/` or at the top, the same model in several number
formats (`model.onnx`, `model_O4.onnx`, `model_qint8_avx512_vnni.onnx`, `model_quantized.onnx`),
weights over 2 GB in files beside the graph (`model.onnx_data`).
"""

from dataclasses import dataclass
from pathlib import Path

from shards.checkpoint.bounded import read_json
from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.graph_file import GraphFile, read_graph_file
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

_PLAIN = ("onnx/model.onnx", "model.onnx")
_PLACES = ("*.onnx", "onnx/*.onnx")


@dataclass(frozen=True, slots=True)
class Graph:
    """An exported graph.

    Attributes:
        checkpoint: the folder around the graph; its tensor files are those of the graph.
        path: the ONNX file.
        name: the same as a path in the folder.
        holds: the content of the ONNX file.
    """

    checkpoint: Checkpoint
    path: Path
    name: str
    holds: GraphFile


def open_graph(spec: ShardSpec) -> Graph:
    """Open a folder with exported graphs, and find the graph that the spec means.

    Raises:
        Refusal: there is no such folder or graph, it cannot be read, or there is no config.json.
    """
    folder = Path(spec.source).expanduser()
    if not folder.is_dir():
        raise Refusal(
            f"{spec.source} is no folder; the engine onnx takes one in the hub's layout: "
            "`hf download NAME --local-dir FOLDER` brings it",
            ExitCode.SPEC,
        )
    name = _meant(folder, spec.onnx_file)
    path = folder / name
    if not (folder / "config.json").is_file():
        raise Refusal(f"{folder} has no config.json beside its graph; take it from the checkpoint")
    try:
        holds = read_graph_file(path)
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} is no ONNX graph ({error}): download it again") from error
    files = (path, *(path.parent / name for name in sorted(holds.beside)))
    if missing := [file.name for file in files if not file.is_file()]:
        raise Refusal(
            f"{path} lacks the files with its weights, {', '.join(missing)}: download them"
        )
    checkpoint = Checkpoint(
        spec.source,
        folder,
        read_json(folder / "config.json"),
        {file.name: file for file in files},
        is_graph=True,
    )
    return Graph(checkpoint, path, name, holds)


def is_graph_only(folder: Path) -> bool:
    """Return whether a folder has exported graphs and no weights."""
    return bool(_graphs(folder)) and not any(folder.glob("*.safetensors"))


def _graphs(folder: Path) -> list[str]:
    """Return the graphs of a folder, as paths in it."""
    return sorted(
        path.relative_to(folder).as_posix() for place in _PLACES for path in folder.glob(place)
    )


def _meant(folder: Path, named: str) -> str:
    """Return the path of the graph that is meant: the named graph, the plain one, or the only one.

    Raises:
        Refusal: there is no graph, or several of which none is named or plain.
    """
    there = _graphs(folder)
    wanted = (named, f"onnx/{named}") if named else _PLAIN
    if found := next((name for name in wanted if (folder / name).is_file()), None):
        return found
    if not there:
        raise Refusal(f"{folder} holds no *.onnx, neither in onnx/ nor beside it", ExitCode.SPEC)
    if not named and len(there) == 1:
        return there[0]
    why = f"has no {named}" if named else f"has several graphs and none of them is {_PLAIN[0]}"
    raise Refusal(f"{folder} {why}: set onnx_file to one of {', '.join(there)}", ExitCode.SPEC)
