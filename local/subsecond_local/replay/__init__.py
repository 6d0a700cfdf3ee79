"""`subsecond replay LOG`: what the caches would have done with a log of one's own, without a call of a model."""
