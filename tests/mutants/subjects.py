"""Which modules are edited wrongly, and which tests have to notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """name: as `--only` has it. modules: below `subsecond`. tests: below `tests`, the likeliest to notice first. most:
    edits tried of each module, spread evenly over the file; 0: all."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    most: int = 0


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/test_{name}.py" for name in names)


SUBJECTS = (
    Subject(
        "key and scope",
        ("cache.key", "cache.canonical", "cache.end_user", "cache.fields_left_out"),
        _in("unit", "end_user", "canonical_json", "canonical", "fields_left_out", "clocks"),
        most=15,
    ),
    Subject(
        "cacheability",
        ("cache.cacheability",),
        _in("unit", "who_shares", "cacheability", "lifetime", "fields_left_out"),
        most=20,
    ),
    Subject(
        "answers",
        ("dialects.choices",),
        (*_in("unit/dialects", "choices"), *_in("unit", "recording")),
        most=40,
    ),
    Subject(
        "single flight",
        ("single_flight.in_process", "single_flight.lease", "stages.flight"),
        _in("unit/flights", "watchers", "join", "across", "forms", "parting", "interleavings"),
        most=15,
    ),
    Subject("invalidation", ("cache.invalidation",), _in("unit", "rules_limits", "rules"), most=20),
    Subject("admission", ("upstreams.admission",), _in("unit", "admission_limits", "admission"), most=20),
    Subject(
        "index commit",
        ("semantic.index.writer", "semantic.index.indexer"),
        (*_in("unit/semantic", "writer", "indexer", "records"), "integration/semantic/test_indexer.py"),
        most=30,
    ),
    Subject(
        "policies",
        ("semantic.policies.guarded", "semantic.policies.threshold"),
        _in("unit/guards", "threshold", "order_of_checks", "unread", "same_words", "refusals", "pairs"),
        most=30,
    ),
    Subject(
        "guards",
        tuple(
            f"semantic.guards.{name}"
            for name in (
                *("abroad", "casing", "features", "grammar", "language", "matching", "numbers", "order", "reading"),
                *("sameness", "score", "stems", "tables", "typos", "vetoes", "words"),
            )
        ),
        (
            *_in("unit/guards", "tables", "contractions", "language", "abroad", "casing", "features", "grammar"),
            *_in(
                "unit/guards",
                "words_paired",
                "numbers",
                "reading",
                "vetoes",
                "order_of_checks",
                "same_words",
                "refusals",
            ),
            *_in("unit/guards", "pairs", "unread"),
        ),
        most=3,
    ),
    Subject(
        "checks",
        tuple(f"semantic.verification.{name}" for name in ("intervals", "sampling", "budget", "accuracy", "surge")),
        _in("unit/verification", "intervals", "sampling", "budget", "surge", "accuracy"),
        most=15,
    ),
)
