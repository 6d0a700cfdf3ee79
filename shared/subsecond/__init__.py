"""Subsecond, an LLM latency gateway. Start reading at `pipeline.py`."""

__version__ = "0.1.0"
