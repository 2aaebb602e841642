"""Layers that engines share: attention, matrix products, packed layouts, the steps in between."""
