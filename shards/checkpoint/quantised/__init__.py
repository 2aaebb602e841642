"""Quantised weights in the forms of other programs and of ours, read as plain matrices."""

from shards.checkpoint.quantised.forms import read_quantised
from shards.checkpoint.quantised.matrices import NOTHING, Quantised, Read

__all__ = ["NOTHING", "Quantised", "Read", "read_quantised"]
