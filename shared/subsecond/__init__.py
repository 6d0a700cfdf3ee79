"""Subsecond, an LLM latency gateway. Start reading at `pipeline.py`."""
