"""Which model answers, and what happens when it is slow or fails."""
