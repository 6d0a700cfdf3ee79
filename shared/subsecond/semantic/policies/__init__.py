"""Policies decide whether a stored question's answer will do. One file each, pure, with `build(settings)`.

A policy (`ports.Policy`) sees the request's text and one candidate, and gives a verdict with its reasons.
"""
