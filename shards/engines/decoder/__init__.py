"""Engines for causal language models."""
