"""API keys: who a token belongs to."""
