"""The conversion of a cross-encoder for OpenVINO, with a check before it may serve.

The torch model is traced with eager attention and a batch of different lengths: with fused
attention, or with a batch that needs no mask, dependencies on the shape are frozen into the graph.
Two batches of other shapes test for that, against the torch model in fp32: the traced graph must
agree closely, the final graph within the rounding of its number format.

int8 is made by NNCF: ranges of states are taken from pairs, the built-in ones or the operator's.
Tokens of the two batches are random and fit no ranges, so there its difference is only recorded.
Known pairs decide whether it serves, against the traced graph in bf16, which would serve instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from shutil import rmtree
from typing import Any
from warnings import catch_warnings, simplefilter

import torch

from shards.checkpoint import Checkpoint, load_model
from shards.engines.encoder.setup import PairSetup
from shards.engines.formats import Agreement, compare, disagreement, margins_of_known_pairs
from shards.engines.graph.conversion import (
    Record,
    folder_of,
    graph_hash,
    graph_of,
    source_hash,
    write_record,
)
from shards.engines.graph.graph_engine import Run, expect_inputs
from shards.engines.graph.openvino_runtime import compiled, import_openvino
from shards.engines.layers.int8 import int8_works
from shards.engines.layers.padding import padded_inputs
from shards.pairs import Batch, TokenizedPair
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode

# The largest distance of a margin from the exact one: absolute, and in parts of its size.
_BOUNDS = {"fp32": (1e-3, 1e-3), "bf16": (0.25, 0.05), "int8": (inf, 0.0)}
_TRACED = ((9, 17), 3)  # tokens of the shortest and the longest pair, pairs
_CHECKED = (((11, 31), 2), ((24, 64), 5))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Pairs for the ranges of int8, and their origin: `built-in`, or a file's name."""

    pairs: Sequence[TokenizedPair]
    origin: str

    def __str__(self) -> str:
        return f"{len(self.pairs)} pairs ({self.origin})"


@dataclass(frozen=True, slots=True)
class _Model:
    """The exact model, with the means to make its inputs."""

    torch_model: Any
    parts: PairSetup
    pad_id: int
    has_types: bool

    def inputs(self, batch: Batch) -> dict[str, torch.Tensor]:
        return padded_inputs(batch, pad_id=self.pad_id, types=self.has_types)

    def margins(self, logits: torch.Tensor) -> list[float]:
        margins: list[float] = (logits.float() @ torch.tensor(self.parts.label_weights)).tolist()
        return margins

    @torch.inference_mode()
    def exact(self, batch: Batch) -> list[float]:
        return self.margins(self.torch_model(**self.inputs(batch)).logits)

    def of_known_pairs(self, run: Run) -> list[float]:
        """Return the margins of the known pairs by a graph."""
        return margins_of_known_pairs(self.parts.tokenizer, lambda batch: self.through(run, batch))

    def through(self, run: Run, batch: Batch) -> list[float]:
        arrays = {name: tensor.numpy() for name, tensor in self.inputs(batch).items()}
        return self.margins(torch.from_numpy(run(arrays)))


def convert(
    checkpoint: Checkpoint,
    parts: PairSetup,
    *,
    dtype: str,
    calibration: Calibration,
    anyway: bool,
    report: Report,
) -> tuple[Path, Record]:
    """Convert a checkpoint, check the result, and write it to the folder of the conversion.

    Args:
        calibration: the pairs for the ranges of int8.
        anyway: whether int8 is kept even if it does not rank known pairs as bf16 does.

    Raises:
        Refusal: OpenVINO is not installed, the folder cannot be written, or the check failed.
    """
    openvino = import_openvino()
    model = _load(checkpoint, parts, report)
    report("tracing the model")
    graph = _traced(openvino, model)
    expected: Sequence[float] = ()
    if dtype != "fp32":
        report("checking what was traced")
        _check(model, compiled(graph, "fp32", 0)[0], "fp32")
    if dtype == "int8":
        expected = model.of_known_pairs(compiled(graph, "bf16", 0)[0])
        report(f"quantising with {calibration}")
        graph = _quantised(graph, model, calibration.pairs)
    folder = folder_of(checkpoint, dtype)
    try:
        rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        openvino.save_model(graph, graph_of(folder), compress_to_fp16=False)
    except OSError as error:
        raise Refusal(f"{folder} cannot be written: {error}", ExitCode.SPEC) from error
    report("checking it on two batches of different shapes")
    run, _ = compiled(graph_of(folder), dtype, 0)
    largest, shapes = _check(model, run, dtype)
    agreement = _agreement(expected, model.of_known_pairs(run), anyway) if expected else None
    record = Record(
        source=source_hash(checkpoint),
        graph=graph_hash(folder),
        openvino=openvino.__version__.split("-")[0],
        largest_difference=largest,
        shapes=shapes,
        agreement=agreement,
        bf16_margins=tuple(expected),
        calibration=str(calibration) if agreement else "",
    )
    write_record(folder, record)
    return folder, record


def _load(checkpoint: Checkpoint, parts: PairSetup, report: Report) -> _Model:
    import transformers

    torch_model, _ = load_model(
        transformers.AutoModelForSequenceClassification,
        checkpoint,
        vocabulary_size=parts.vocabulary_size,
        dtype=torch.float32,
        device="cpu",
        report=report,
    )
    torch_model.set_attn_implementation("eager")
    config = torch_model.config
    return _Model(
        torch_model, parts, config.pad_token_id or 0, getattr(config, "type_vocab_size", 0) > 1
    )


def _pairs(parts: PairSetup, lengths: tuple[int, int], count: int) -> list[TokenizedPair]:
    """Return pairs of random tokens, the first the shortest, the others the longest."""
    generator = torch.Generator().manual_seed(sum(lengths))
    pairs = []
    for at in range(count):
        length = min(parts.max_length, lengths[0] if at == 0 else lengths[1])
        ids = torch.randint(5, max(6, parts.vocabulary_size), (length,), generator=generator)
        pairs.append(TokenizedPair(ids.tolist(), length // 3, False))
    return pairs


def _traced(openvino: Any, model: _Model) -> Any:
    example = model.inputs(_pairs(model.parts, *_TRACED))
    torch_model = model.torch_model

    class Logits(torch.nn.Module):
        """The model with positional inputs, so that they keep their names."""

        def __init__(self) -> None:
            super().__init__()
            self.model = torch_model

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> torch.Tensor:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            logits: torch.Tensor = self.model(
                input_ids=input_ids, attention_mask=attention_mask, **types
            ).logits
            return logits

    with catch_warnings():
        simplefilter("ignore")  # about frozen shapes, which are checked for afterwards
        graph = openvino.convert_model(Logits().eval(), example_input=example)
    names = [port.get_any_name() for port in graph.inputs]
    expect_inputs(names, types=model.has_types, name="the traced graph")
    return graph


def _quantised(graph: Any, model: _Model, pairs: Sequence[TokenizedPair]) -> Any:
    try:
        with catch_warnings():
            simplefilter("ignore")
            import nncf
    except ImportError as error:
        raise Refusal(
            f"int8 needs a package that is not installed ({error}): "
            "pip install 'rerank-gateway[openvino]'",
            ExitCode.SPEC,
        ) from error
    batches = [
        {name: tensor.numpy() for name, tensor in model.inputs([pair]).items()} for pair in pairs
    ]
    with catch_warnings():
        simplefilter("ignore")  # its own and those of its imports
        # Without VNNI, sums of products overflow 16 bits: NNCF then keeps weights to 7 bits.
        fix = nncf.OverflowFix.DISABLE if int8_works() else nncf.OverflowFix.ENABLE
        return nncf.quantize(
            graph,
            nncf.Dataset(batches),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )


def _check(model: _Model, run: Run, dtype: str) -> tuple[float, tuple[tuple[int, int], ...]]:
    """Return the largest difference of a margin from the exact one, and the checked shapes.

    Raises:
        Refusal: a difference exceeds its bound.
    """
    largest, shapes = 0.0, []
    for lengths, count in _CHECKED:
        batch = _pairs(model.parts, lengths, count)
        largest = max(largest, _difference(model, run, batch, dtype))
        shapes.append((count, max(map(len, batch))))
    return largest, tuple(shapes)


def _difference(model: _Model, run: Run, batch: Batch, dtype: str) -> float:
    absolute, relative = _BOUNDS[dtype]
    largest = 0.0
    for exact, found in zip(model.exact(batch), model.through(run, batch), strict=True):
        largest = max(largest, abs(exact - found))
        if not (isfinite(found) and abs(exact - found) <= absolute + relative * abs(exact)):
            raise Refusal(
                f"the conversion gives {found:.4f} where the checkpoint gives {exact:.4f}; it is "
                "not served"
            )
    return largest


def _agreement(bf16: Sequence[float], int8: Sequence[float], anyway: bool) -> Agreement:
    found = compare(bf16, int8)
    if not (found.suffices or anyway):
        raise Refusal(
            f"{disagreement(found)}: it is not served. A calibration set of your own texts may "
            "help (--calibration); --anyway keeps it, to be served with `int8_anyway = true`"
        )
    return found
