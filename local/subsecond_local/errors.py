"""What stops the command line."""

from __future__ import annotations


class LocalError(Exception):
    """The message is for the person at the keyboard: what is wrong, and what to do about it."""
