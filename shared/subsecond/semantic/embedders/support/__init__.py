"""What embedders share; no adapters."""
