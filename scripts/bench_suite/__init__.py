"""One command that measures our server and its baselines in one go: `scripts/bench`."""
