"""When may a neighbour answer? One file for each policy, pure, with `build(settings)`.

A policy (`ports.Policy`) sees the request's text and one candidate, and gives a verdict with its reasons.
"""
