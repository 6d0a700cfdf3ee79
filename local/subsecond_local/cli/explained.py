"""What `subsecond cache explain` prints for people: what answered, why, and what lies nearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

ANSWERED = {
    "exact": "The stored answer to the same request would answer it.",
    "semantic": "The stored answer to a similar question would answer it.",
    "upstream": "Nothing that is stored would answer it: the model would be asked.",
}


def told(found: Mapping[str, Any]) -> str:
    """One of the gateway's three explanations: of a body, of a hit of the last day, of an entry."""
    if "request_id" in found:
        return _hit(found)
    return _call(found) if "source" in found else _entry(found)


def _call(found: Mapping[str, Any]) -> str:
    why, *more = found["reasons"]
    parts = [ANSWERED[found["source"]], _lines([("because", why), *(("also", one) for one in more)])]
    if entry := found["entry"]:
        parts.append(_entry(entry))
    elif near := found["nearest"]:
        verdicts = {one["entry"]: one for one in found["judged"]}
        parts.append("Nearest in its scope:\n" + "\n".join(_near(one, verdicts.get(one["entry"])) for one in near))
    rows = [("key", found["key"]), ("scope", found["scope"])]
    if not found["entry"]:
        rows.insert(
            0, ("its answer", f"is kept for {found['stored_for']:,.0f} s" if found["stored_for"] else "is not kept")
        )
    return "\n\n".join([*parts, _lines(rows)])


def _near(near: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> str:
    question = "an entry that has gone" if near["question"] is None else near["question"]
    said = f": {verdict['says']}, {'; '.join(verdict['reasons'])}" if verdict else ""
    lines = [f"  {near['similarity']:.3f}{said}", f"    {_one_line(question)}"]
    if near["differs"]:
        lines.append(f"    {_parted(near['differs'])}")
    return "\n".join([*lines, f"    entry {near['entry']}"])


def _parted(differs: Mapping[str, str]) -> str:
    return f"stored {differs['stored']!r}, asked {differs['asked']!r}"


def _hit(found: Mapping[str, Any]) -> str:
    head = f"A similar question's answer, at {_date(found['at'])}{', reported as wrong' if found['reported'] else ''}."
    entry = _entry(found["entry"]) if found["entry"] else "The entry that answered has gone since."
    judged = [f"  {one['similarity']:.3f}: {one['says']}, {'; '.join(one['reasons'])}" for one in found["judged"]]
    return "\n\n".join([head, "Judged, the nearest first:\n" + "\n".join(judged), entry])


def _entry(entry: Mapping[str, Any]) -> str:
    rows = [
        ("question", _one_line(entry["question"])),
        ("model", f"{entry['model']} (asked for as {entry['asked_model']})"),
        ("answer", f"{entry['bytes']:,} bytes, {entry['form']}, finish reason {entry['finish']}"),
        ("made", f"{_date(entry['created'])}, lives {entry['expires_in']:,.0f} s more"),
        ("tags", ", ".join(entry["tags"]) or "none"),
        ("reported wrong", f"{entry['negatives']} times"),
        ("embedder", entry["embedder"] or "none: it serves the same request alone"),
        ("entry", entry["entry"]),
        ("scope", entry["scope"]),
    ]
    if entry["invalidated"]:
        rows.insert(0, ("invalidated", "it is served no more"))
    return _lines([*rows, *_verdict(entry.get("verdict"))])


def _verdict(verdict: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    if not verdict:
        return
    yield "for this text", f"{verdict['says']}: {'; '.join(verdict['reasons'])}"
    if verdict.get("differs"):
        yield "where they part", _parted(verdict["differs"])
    if verdict.get("same_scope") is False:
        yield "scope", "another one: the two are never compared"


def _lines(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name.ljust(width)}  {text}" for name, text in rows)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
