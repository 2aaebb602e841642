"""Baselines: other ways to serve the same weights, each behind HTTP.

Each module is a program, `python -m scripts.bench_suite.baselines.NAME CHECKPOINT PORT`. It loads a
checkpoint and answers `POST /v1/rerank`. It imports nothing of gateway and shards, so that it can
run in an environment of its own.
"""
