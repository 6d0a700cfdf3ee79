"""Embedders: text to vector."""
