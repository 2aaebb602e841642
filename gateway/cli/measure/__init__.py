"""Commands that measure the quality of a model: `eval`, `compare` and `calibrate`."""
