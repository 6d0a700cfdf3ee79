"""From a request to its exact key, its scope and its text."""
