"""Hit logs: the semantic hits of the last day."""
