"""Training: listwise softmax over each list, plus a little cross-entropy per pair.

The softmax teaches order, the cross-entropy (a tenth of it) keeps margins near the scale on which
sigmoid(margin) reads as a relevance. AdamW, short warm-up, cosine down to nothing.

Two things keep what the start knows. The embeddings move at a tenth of the rate: the words of the
lists would else leave their place among the many words that no list happens to hold. And the result
is averaged with the start: between the two the model ranks unseen kinds of text better than at
either end.
"""

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .lists import ListMaker, TrainingList
from .pairs import INSTRUCTION, Row, to_batch
from .scoring import Reranker, parts

INSTRUCTIONS = [
    INSTRUCTION,
    "Given a question, retrieve passages that answer it",
    "Find the document that best matches the query",
    "Retrieve the relevant help article for the user question",
    "Найди документ, который отвечает на вопрос",
]
DEFAULT_INSTRUCTION_SHARE = 0.6
PAIR_LOSS_SHARE = 0.1
MATCHING = re.compile(r"layers?\.[01]\..*(attention|attn)\.")
EMBEDDING_RATE = 0.1  # of the rate of the other weights


@dataclass(frozen=True)
class Course:
    steps: int
    seed: int = 1
    lengths: tuple[int, ...] = (32, 48, 64, 96, 128, 128, 256)  # of a document, tokens at most
    matching_rate: float = 1.0  # of the rate, for the layers in which the start matches terms
    lists_a_step: int = 16
    rate: float = 5e-4
    warm_up: int = 60
    horizon: int | None = None  # step at which the cosine would reach 0; None: the last one
    cool_down: int = 1  # last steps in which the rate goes down to nothing in a straight line
    report_each: int = 50
    keep_each: int = 100  # steps between two checkpoints


def rate_factor(step: int, course: Course) -> float:
    if step < course.warm_up:
        return (step + 1) / course.warm_up
    end = course.horizon or course.steps
    done = (step - course.warm_up) / max(1, end - course.warm_up)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return cosine * min(1.0, (course.steps - step) / course.cool_down)


def optimiser_of(reranker: Reranker, course: Course) -> torch.optim.Optimizer:
    table = reranker.model.get_input_embeddings().weight
    matching: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in reranker.model.named_parameters():
        if parameter is not table:
            (matching if MATCHING.search(name) else others).append(parameter)
    groups = [
        {"params": others, "full_rate": course.rate},
        {"params": matching, "full_rate": course.rate * course.matching_rate},
        {"params": [table], "full_rate": course.rate * EMBEDDING_RATE},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)


def rows_of(reranker: Reranker, lists: list[TrainingList], maker: ListMaker) -> list[Row]:
    """One instruction a step, most often the default one."""
    usual = maker.random.random() < DEFAULT_INSTRUCTION_SHARE
    instruction = INSTRUCTION if usual else maker.random.choice(INSTRUCTIONS)
    return [reranker.layout.row(i.query, d, instruction) for i in lists for d in i.documents]


def margins_of(reranker: Reranker, rows: list[Row]) -> Tensor:
    """Margins with gradients, in the order of the rows, computed in batches of like length."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    found, places = [], []
    for part in parts(order, rows):
        batch = to_batch([rows[i] for i in part], reranker.layout.padding)
        found.append(reranker.margins(batch))
        places += part
    return torch.cat(found)[torch.tensor(places).argsort()]


def loss_of(margins: Tensor) -> tuple[Tensor, float]:
    """`margins` has a row per list, the right document first; the loss and the share of lists in
    which it won."""
    first = torch.zeros(len(margins), dtype=torch.long, device=margins.device)
    right = torch.zeros_like(margins)
    right[:, 0] = 1
    documents = margins.shape[1]
    weight = torch.where(right > 0, documents / 2, documents / 2 / (documents - 1))
    pairs = binary_cross_entropy_with_logits(margins, right, weight=weight)
    loss = cross_entropy(margins, first) + PAIR_LOSS_SHARE * pairs
    return loss, float((margins.argmax(1) == 0).float().mean())


@dataclass
class Training:
    """A model on its way, with all that decides what its next step will be."""

    reranker: Reranker
    maker: ListMaker
    course: Course
    step: int = 0

    def __post_init__(self) -> None:
        self.optimiser = optimiser_of(self.reranker, self.course)

    def take(self) -> tuple[float, float]:
        """One step; its loss and the share of lists in which the right document won."""
        factor = rate_factor(self.step, self.course)
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] * factor
        lists = [self.maker.draw() for _ in range(self.course.lists_a_step)]
        margins = margins_of(self.reranker, rows_of(self.reranker, lists, self.maker))
        loss, won = loss_of(margins.view(len(lists), -1))
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.reranker.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return loss.item(), won

    def keep(self, path: Path) -> None:
        """Written beside and renamed: an interrupted build finds a whole checkpoint or none."""
        state = {
            "step": self.step,
            "model": self.reranker.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "chance": self.maker.random.getstate(),
        }
        fresh = path.with_suffix(".fresh")
        torch.save(state, fresh)
        fresh.replace(path)

    def go_on_from(self, path: Path) -> None:
        state: dict[str, Any] = torch.load(path)
        self.step = state["step"]
        self.reranker.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.maker.random.setstate(state["chance"])


def train(training: Training, kept: Path, report: Callable[[str], None]) -> Iterator[int]:
    """Trains in place, from the checkpoint `kept` if there is one; yields after each step."""
    course = training.course
    if kept.exists():
        training.go_on_from(kept)
        report(f"going on from step {training.step}")
    training.reranker.model.train()
    recent: list[tuple[float, float]] = []
    began = time.monotonic()
    while training.step < course.steps:
        recent.append(training.take())
        if training.step % course.report_each == 0:
            loss, won = (sum(column) / len(recent) for column in zip(*recent, strict=True))
            seconds = time.monotonic() - began
            report(f"step {training.step}: loss {loss:.3f}, won {won:.3f}, {seconds:.0f} s")
            recent.clear()
        if training.step % course.keep_each == 0:
            training.keep(kept)
        yield training.step
    training.reranker.model.train(False)


def run(training: Training, kept: Path, progress: Progress, name: str) -> None:
    bar = progress.add_task(f"training {name}", total=training.course.steps)
    for step in train(training, kept, progress.console.print):
        progress.update(bar, completed=step)


def average_in(
    model: torch.nn.Module, start: dict[str, Tensor], end: dict[str, Tensor], share: float
) -> None:
    """Gives the model (1 - share) x start + share x end, weight by weight."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(start[name].lerp(end[name], share))
