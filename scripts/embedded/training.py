"""Training: listwise softmax over each list, plus a little cross-entropy per pair.

The softmax teaches order, the cross-entropy (a tenth of it) keeps margins near the scale on which
sigmoid(margin) reads as a relevance. AdamW, short warm-up, cosine down to nothing.

Two things keep what the start knows. The embeddings move at a tenth of the rate: the words of the
lists would else leave their place among the many words that no list happens to hold. And the result
is averaged with the start: between the two the model ranks unseen kinds of text better than at
either end.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
EMBEDDING_RATE = 0.1  # of the rate of the other weights


@dataclass(frozen=True)
class Course:
    steps: int
    lists_a_step: int = 12
    rate: float = 5e-4
    warm_up: int = 40
    report_each: int = 50


def rate_factor(step: int, course: Course) -> float:
    if step < course.warm_up:
        return (step + 1) / course.warm_up
    done = (step - course.warm_up) / max(1, course.steps - course.warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def optimiser_of(reranker: Reranker, course: Course) -> torch.optim.Optimizer:
    table = reranker.model.get_input_embeddings().weight
    others = [p for p in reranker.model.parameters() if p is not table]
    groups = [
        {"params": others, "lr": course.rate},
        {"params": [table], "lr": course.rate * EMBEDDING_RATE},
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
    first = torch.zeros(len(margins), dtype=torch.long)
    right = torch.zeros_like(margins)
    right[:, 0] = 1
    weight = torch.where(right > 0, 0.5 * margins.shape[1], 0.5 * margins.shape[1] / 7)
    pairs = binary_cross_entropy_with_logits(margins, right, weight=weight)
    loss = cross_entropy(margins, first) + PAIR_LOSS_SHARE * pairs
    return loss, float((margins.argmax(1) == 0).float().mean())


def train(
    reranker: Reranker, maker: ListMaker, course: Course, report: Callable[[str], None]
) -> Iterator[int]:
    """Trains in place; yields after each step, so that the caller may look at the model."""
    model = reranker.model.train()
    optimiser = optimiser_of(reranker, course)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: rate_factor(n, course))
    losses, wins, began = [], [], time.monotonic()
    for step in range(1, course.steps + 1):
        lists = [maker.draw() for _ in range(course.lists_a_step)]
        margins = margins_of(reranker, rows_of(reranker, lists, maker))
        loss, won = loss_of(margins.view(len(lists), -1))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        wins.append(won)
        if step % course.report_each == 0:
            recent = slice(-course.report_each, None)
            mean_loss = sum(losses[recent]) / course.report_each
            mean_wins = sum(wins[recent]) / course.report_each
            seconds = time.monotonic() - began
            report(f"step {step}: loss {mean_loss:.3f}, won {mean_wins:.3f}, {seconds:.0f} s")
        yield step
    model.train(False)


def run(
    reranker: Reranker, maker: ListMaker, course: Course, progress: Progress, name: str
) -> None:
    bar = progress.add_task(f"training {name}", total=course.steps)
    for _ in train(reranker, maker, course, progress.console.print):
        progress.advance(bar)


def average_with(trained: Reranker, start: dict[str, Tensor], share: float) -> None:
    """In place: (1 - share) x start + share x trained, weight by weight."""
    with torch.no_grad():
        for name, parameter in trained.model.named_parameters():
            parameter.lerp_(start[name], 1 - share)
