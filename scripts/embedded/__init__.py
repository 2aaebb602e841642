"""Builds and evaluates the two embedded demonstration rerankers (see build.py for the stages)."""
