"""Scoring in the caller's own process, without a server: `from gateway import Reranker`.

local_model.py  fleet and reranker of one model, for this room and for commands
client.py       the client of `gateway.client` whose requests go to such a model
reranker.py     `Reranker`, for programs and notebooks: its thread, its end, its errors
"""

from gateway.local.reranker import Reranker

__all__ = ["Reranker"]
