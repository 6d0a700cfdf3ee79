"""Traces, histograms, ledgers."""
