"""Metrics, status, logs, traces and comparisons of scores."""
