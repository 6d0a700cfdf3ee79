"""Invalidations: dated rules of what is served no more."""
