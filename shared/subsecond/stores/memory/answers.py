"""Answers in this process: least recently used go first, bounded in bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from subsecond.config import Settings
from subsecond.model import OTHER_FORM, Entry, Form

# The entries under one key, by form: never none. Each has its own tags; what was reported is the same in both.
Forms = Mapping[Form, Entry]


class MemoryStore:
    """`limit` in bytes. The clock gives epoch seconds, like an entry's `expires`. Both forms of an answer come and go
    together, but each ends at its own time."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._clock = clock
        self._items: OrderedDict[tuple[str, str], Forms] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        """Keys, not entries."""
        return len(self._items)

    async def get(self, partition: str, key: str, form: Form) -> Entry | None:
        found = self._live((partition, key))
        if not found:
            return None
        self._items.move_to_end((partition, key))
        return _of_both(found, form if form in found else OTHER_FORM[form])

    async def put(self, entry: Entry) -> float | None:
        place, form = (entry.partition, entry.prompt.key), entry.recording.form
        there = self._items.get(place, {})
        old = there.get(form)
        reported = entry.false_hits.union(*(one.false_hits for one in there.values()))
        entry = _with_reports(entry, reported)
        if (old is not None and old.created > entry.created) or _size(entry) > self._limit:
            return None
        kept = {**self._live(place), form: entry}
        if _sizes(kept) > self._limit:
            kept = {form: entry}
        self._keep(place, {one: _with_reports(each, reported) for one, each in kept.items()})
        return old.expires if old is not None and old.expires > self._clock() else 0.0

    async def fresh(self, partition: str, key: str, form: Form) -> Entry | None:
        return await self.get(partition, key, form)

    async def report(self, partition: str, key: str, digest: str, *, wrong: bool) -> None:
        found = self._live((partition, key))
        if not found:
            return
        (false_hits, *_) = (entry.false_hits for entry in found.values())
        reported = false_hits | {digest} if wrong else false_hits - {digest}
        self._keep((partition, key), {form: _with_reports(entry, reported) for form, entry in found.items()})

    async def touch(self, partition: str, key: str) -> None:
        if self._live((partition, key)):
            self._items.move_to_end((partition, key))

    async def drop(self, partition: str, key: str, before: float) -> bool:
        there = self._items.get((partition, key), {})
        if not there or any(entry.created > before or entry.false_hits for entry in there.values()):
            return False
        self._drop((partition, key))
        return True

    def in_memory(self, partition: str) -> Sequence[Entry]:
        """One for each key: whoever counts them counts answers."""
        now, found = self._clock(), []
        for (of, _), forms in self._items.items():
            live = [entry for entry in forms.values() if entry.expires > now] if of == partition else []
            if live:
                found.append(_of_both(forms, max(live, key=lambda entry: entry.created).recording.form))
        return found

    def _live(self, place: tuple[str, str]) -> Forms:
        """The forms that have not expired; the others are gone from here on."""
        there, now = self._items.get(place, {}), self._clock()
        live = {form: entry for form, entry in there.items() if entry.expires > now}
        if len(live) < len(there):
            self._drop(place)
            if live:
                self._keep(place, live)
        return live

    def _keep(self, place: tuple[str, str], forms: Forms) -> None:
        """In the place of what is there."""
        if place in self._items:
            self._drop(place)
        self._items[place] = forms
        self.bytes += _sizes(forms)
        while self.bytes > self._limit:
            self._drop(next(iter(self._items)))

    def _drop(self, place: tuple[str, str]) -> None:
        self.bytes -= _sizes(self._items.pop(place))


def _of_both(forms: Forms, form: Form) -> Entry:
    """The entry of that form, with the tags of both."""
    entry, other = forms[form], forms.get(OTHER_FORM[form])
    if other is None or set(other.tags) <= set(entry.tags):
        return entry
    return replace(entry, tags=tuple(dict.fromkeys((*entry.tags, *other.tags))))


def _with_reports(entry: Entry, reported: frozenset[str]) -> Entry:
    return entry if entry.false_hits == reported else replace(entry, false_hits=reported)


def _sizes(forms: Forms) -> int:
    return sum(map(_size, forms.values()))


def _size(entry: Entry) -> int:
    return (
        entry.recording.size
        + len(entry.fields)
        + 4 * len(entry.prompt.text)
        + len(entry.vector)
        + 100 * len(entry.false_hits)
    )


def build(settings: Settings) -> MemoryStore:
    return MemoryStore(settings.memory_bytes)
