"""What we are compared with: other people's ways to serve the same weights, each behind HTTP.

Each module is a program, `python -m scripts.bench_suite.baselines.NAME CHECKPOINT PORT`, that loads a
checkpoint and answers `POST /v1/rerank`. They know nothing of gateway and shards, so that some can run
in an environment of their own.
"""
