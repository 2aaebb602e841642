"""Engines for BERT-like cross-encoders."""
