"""A turn's content, which is a text or a list of parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

# Roles whose texts are the owner's and not the user's.
SYSTEM: Final = ("system", "developer")


def shape_and_texts(content: Any, kinds: tuple[str, ...]) -> tuple[Any, list[str]]:
    """A turn's shape, which is its parts in their order with the texts taken out; and these texts. What stands for a
    text is a list, which no part is. kinds: the `type` of a part that is a text."""
    if isinstance(content, str):
        return None, [content]
    if not isinstance(content, list):
        return content, []
    said = [has_text(part) and part.get("type") in kinds for part in content]
    texts = [part["text"] for part, is_text in zip(content, said, strict=True) if is_text]
    shape = [[{**part, "text": None}] if is_text else part for part, is_text in zip(content, said, strict=True)]
    return shape, texts


def texts_in(content: Any) -> Iterator[str]:
    """Each of its texts."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (part["text"] for part in content if has_text(part))


def edited(content: Any, edit: Callable[[str], str]) -> Any:
    """The content with each of its texts edited."""
    if isinstance(content, str):
        return edit(content)
    if not isinstance(content, list):
        return content
    return [{**part, "text": edit(part["text"])} if has_text(part) else part for part in content]


def has_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)
