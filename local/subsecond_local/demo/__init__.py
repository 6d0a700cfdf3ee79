"""`subsecond demo`: the gateway with a simulated model, half a minute of traffic, and what to try next."""
