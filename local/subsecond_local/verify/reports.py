"""What Lambda itself says of this run's invocations: the REPORT lines of the functions' logs.

A log is written within seconds, not at once, so they are looked for last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from subsecond_local.verify.ports import Face, Report
from subsecond_local.verify.run import PARTITION, Run

# The statistics function logs no requests.
GROUPS: Mapping[Face, str] = {
    "streaming": "StreamingLogGroup",
    "completion": "CompletionLogGroup",
}
# Our own lines: of a request with the run's key, and of an environment that was warmed.
OURS = f'{{ $.partition = "{PARTITION}" || $.message = "prewarmed" }}'
# Ids in one pattern, which may have 1,024 characters.
AT_ONCE = 12
# Looks, and seconds between them. The last lines of a run are a few seconds old.
LOOKS, GAP = 6, 3.0


def reports(run: Run, face: Face) -> Sequence[Report]:
    """Those of this run, looked for once. Empty where the log has no lines of requests. Denied, Refused."""
    if face not in run.reported:
        group = run.stack.outputs.get(GROUPS.get(face, ""), "")
        told = group and run.stack.parameters.get("LogLevel", "INFO") == "INFO"
        run.reported[face] = _awaited(run, group) if told else ()
    return run.reported[face]


def _awaited(run: Run, group: str) -> list[Report]:
    """Once the log has a report for each of our lines, or after some looks."""
    requests: dict[str, str] = {}
    found: list[Report] = []
    for look in range(LOOKS):
        lines = [line for line in run.account.log_lines(group, run.begun, OURS) if _is_ours(line)]
        requests = {str(line["function_request_id"]): str(line.get("request_id", "")) for line in lines}
        found = [one for part in _parts(list(requests)) for one in _reports(run, group, part)]
        if requests and len(found) >= len(requests):
            break
        if look < LOOKS - 1:
            run.sleep(GAP)
    return [replace(one, request=requests[one.request_id]) for one in found]


def _is_ours(line: Mapping[str, Any]) -> bool:
    """An emulator gives lines that do not fit the pattern, too."""
    return "function_request_id" in line and (line.get("partition") == PARTITION or line.get("message") == "prewarmed")


def _reports(run: Run, group: str, ids: Sequence[str]) -> list[Report]:
    pattern = " || ".join(f'$.record.requestId = "{one}"' for one in ids)
    lines = run.account.log_lines(group, run.begun, f"{{ {pattern} }}")
    return [report for line in lines if (report := read(line)) and report.request_id in ids]


def read(line: Mapping[str, Any]) -> Report | None:
    """The report in this line of the log; None in any other line."""
    record = line.get("record")
    if line.get("type") != "platform.report" or not isinstance(record, Mapping):
        return None
    metrics = record.get("metrics") or {}
    return Report(
        str(record.get("requestId")),
        float(metrics.get("billedDurationMs", 0)),
        float(metrics.get("memorySizeMB", 0)),
        metrics.get("initDurationMs"),
        metrics.get("restoreDurationMs"),
    )


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
