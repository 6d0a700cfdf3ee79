"""Exact stores: answers by exact key."""
