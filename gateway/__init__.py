"""The rerank gateway: one asyncio process that speaks every rerank API on one port.

    from gateway import Reranker

`Reranker` scores in shards of its own, without a server; `gateway.client` asks one.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.local import Reranker

__version__ = "0.1.0"

__all__ = ["Reranker", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Reranker` on first use: a client has not the packages that it needs."""
    if name != "Reranker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return import_module("gateway.local").Reranker
    except ModuleNotFoundError as error:
        message = import_module("gateway.cli.extras").how_to_install(error.name, "Reranker")
        if not message:
            raise
        raise ImportError(message) from None
