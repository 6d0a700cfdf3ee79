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


GUARDS = "semantic.guards"
SUBJECTS = (
    Subject("key and scope", ("cache.key",), ("unit/test_canonical.py", "unit/test_fields_left_out.py"), most=70),
    Subject(
        "cacheability",
        ("cache.cacheability",),
        _in("unit", "who_shares", "cacheability", "lifetime", "fields_left_out"),
        most=70,
    ),
    Subject(
        "single flight",
        ("single_flight.in_process", "single_flight.lease", "stages.flight"),
        _in("unit/flights", "watchers", "join", "across", "forms", "parting", "interleavings"),
        most=40,
    ),
    Subject("invalidation", ("cache.invalidation",), _in("unit", "rules_limits", "rules"), most=70),
    Subject("admission", ("upstreams.admission",), _in("unit", "admission_limits", "admission"), most=70),
    Subject(
        "index commit",
        ("semantic.index.writer", "semantic.index.indexer"),
        (
            *_in("unit/semantic", "writer", "records"),
            *_in("integration/semantic", "indexer", "compaction", "machine"),
        ),
        most=40,
    ),
    Subject("policy", ("semantic.policies.guarded",), ("unit/guards/test_order_of_checks.py", "unit/guards"), most=40),
    Subject(
        "guards",
        tuple(f"{GUARDS}.{name}" for name in ("language", "matching", "numbers", "order", "typos", "vetoes")),
        ("unit/guards",),
        most=20,
    ),
)
