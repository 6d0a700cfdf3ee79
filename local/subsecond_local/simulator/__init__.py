"""The simulator's engine, for the adapter and for the server."""
