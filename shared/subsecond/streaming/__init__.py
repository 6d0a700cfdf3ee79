"""Streams of answers: their events, their two forms, and, for those who use them from Python, what was said so far, in
sentences, and how fast it came (`docs/library.md`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subsecond.streaming.listeners import Buffer, Metrics, Sentences, listen, text_of

__all__ = ["Buffer", "Metrics", "Sentences", "listen", "text_of"]


def __getattr__(name: str) -> Any:
    """Loaded when it is asked for: most who import a module of this folder need none of it, and a cold start pays."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from subsecond.streaming import listeners  # see above

    return getattr(listeners, name)
