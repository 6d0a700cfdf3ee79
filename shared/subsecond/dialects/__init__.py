"""What clients and upstreams speak: a file for each dialect, and the port that they fill."""
