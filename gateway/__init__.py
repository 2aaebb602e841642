"""The rerank gateway: one asyncio process that speaks every rerank API on one port."""

__version__ = "0.1.0"
