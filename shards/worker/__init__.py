"""The shard process, in the order of a job's way through it.

`loop` is the main thread, `startup` loads the engine, `canary_check` tests its scores. `intake`
reads the control socket, `documents` tokenizes texts, `scheduler` holds `open_jobs` and their
pairs, `batcher` groups pairs, `runner` computes them.
"""
