"""The pairs of a suspect, each scored alone, and their answers as one."""

import asyncio
from collections.abc import Callable, Coroutine

from gateway.job import Job, merged
from shards.wire.messages import Scores


async def each_alone(
    job: Job, score: Callable[[Job, int], Coroutine[object, object, Scores]]
) -> Scores:
    """Have each pair of a job scored by `score`, which gets the pair and its place.

    All stand in line at once, so that their replica is kept for them: between one and the next it
    would fill up with other jobs, and had to be emptied again. The first error ends the others.
    """
    try:
        async with asyncio.TaskGroup() as group:
            answers = [
                group.create_task(score(pair, place)) for place, pair in enumerate(job.one_by_one())
            ]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return merged([answer.result() for answer in answers])
