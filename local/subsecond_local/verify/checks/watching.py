"""Whether somebody would notice: the statistics, the logs, the alarms."""

from __future__ import annotations

from subsecond_local.verify.outcome import Outcome, failed, not_run, passed
from subsecond_local.verify.run import OK, Run, words


def statistics(run: Run) -> Outcome:
    reply = run.get("statistics", "/v1/cache/stats")
    if reply.status != OK or "requests" not in reply.json:
        return failed(f"{reply.status}: {words(reply)}", "the statistics function's log; policy `count`")
    return passed(f"figures of the last day: {reply.json['requests']} requests of this command's own namespace")


def log_groups(run: Run) -> Outcome:
    wanted = {value for name, value in run.stack.outputs.items() if name.endswith("LogGroup")}
    found = run.account.log_groups(f"/subsecond/{run.stack.name}/")
    if missing := sorted(wanted - found.keys()):
        return failed(f"missing: {', '.join(missing)}", "deploy again: the functions would write to nowhere")
    if endless := sorted(name for name in wanted if not found[name]):
        return failed(f"never forgotten: {', '.join(endless)}", "deploy again: LogRetentionDays was taken away")
    days = sorted({found[name] for name in wanted})
    return passed(f"{len(wanted)} groups, kept for {', '.join(map(str, days))} days")


def alarms(run: Run) -> Outcome:
    wanted = run.account.physical("AWS::CloudWatch::Alarm")
    if not wanted:
        return not_run("the stack has none: AlarmState=ENABLED makes ten")
    states = run.account.alarms(sorted(wanted.values()))
    by_name = {physical: logical for logical, physical in wanted.items()}
    if missing := sorted(by_name[name] for name in by_name.keys() - states.keys()):
        return failed(f"missing: {', '.join(missing)}", "deploy again: they were deleted by hand")
    if ringing := sorted(by_name[name] for name, state in states.items() if state == "ALARM"):
        return failed(f"ringing: {', '.join(ringing)}", "docs/operations.md, Alarms, has what to do about each")
    return passed(f"{len(states)} alarms, none of them ringing")
