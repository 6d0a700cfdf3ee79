"""An account and URLs in memory, for the checks of `subsecond verify`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from subsecond_local.verify.ports import Arrival, Denied, Refused, Reply, Stack
from subsecond_local.verify.run import Run
from tests.support.clock import Clock

OUTPUTS = {
    "StreamingFunctionUrl": "https://streaming.example/",
    "CompletionFunctionUrl": "https://completion.example/",
    "CacheStatsFunctionUrl": "https://statistics.example/",
    "PrewarmFunction": "warmer",
    "StateTable": "state",
    "AnswersTable": "answers",
    "Bucket": "bucket",
    "StreamingLogGroup": "/subsecond/demo/streaming",
    "CompletionLogGroup": "/subsecond/demo/completion",
}
PARAMETERS = {"SemanticCache": "guarded", "DefaultModel": "m", "WarmMode": "None", "MemorySize": "1024"}
WARMED = {
    "failed": [],
    "functions": [
        {"function": name, "asked": 2, "environments": 2, "cold": cold, "failed": {}, "errors": {}}
        for name, cold in (("Streaming-1", 1), ("Completion-1", 2))
    ],
    "ms": 1800,
}


@dataclass
class MemoryAccount:
    """What it is told to hold. denied: actions that the caller may not do. asked: every call, in order."""

    warmed: dict = field(default_factory=lambda: WARMED)
    resources: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    lines: dict = field(default_factory=dict)
    functions: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    stored: bool = True
    denied: tuple = ()
    asked: list = field(default_factory=list)

    def _ask(self, name, *words):
        self.asked.append((name, *words))
        if name in self.denied:
            raise Denied(name)

    def physical(self, kind):
        self._ask("physical", kind)
        return self.resources.get(kind, {})

    def create_key(self, name, tenant, namespace):
        self._ask("create_key", name, tenant, namespace)
        self.keys[f"sk-ss-{name}"] = (tenant, namespace)
        return f"sk-ss-{name}"

    def delete_key(self, token):
        self._ask("delete_key")
        del self.keys[token]

    def invoke(self, function, event):
        self._ask("invoke", function, event)
        return self.warmed

    def configuration(self, function, qualifier=""):
        self._ask("configuration", function, qualifier)
        return self.functions[function, qualifier]

    def describe(self, function, description):
        self._ask("describe", function, description)

    def alarms(self, names):
        self._ask("alarms", *names)
        return {name: state for name, state in self.states.items() if name in names}

    def log_groups(self, prefix):
        self._ask("log_groups", prefix)
        return self.groups

    def log_lines(self, group, since, pattern):
        self._ask("log_lines", group, pattern)
        return self.lines.get(group, [])

    def point_at_nothing(self, partition, key):
        self._ask("point_at_nothing", partition, key)
        return self.stored


@dataclass
class Scripted:
    """A URL that gives these replies to a method and path, the last one again and again."""

    replies: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)

    def ask(self, question):
        self.asked.append(question)
        found = self.replies.get((question.method, question.path))
        if found is None:
            raise Refused(f"nobody answers {question.path}")
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


def reply(body=None, status=200, at=0.05, **headers):
    data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, [Arrival(at, data)], at)


def whole(text, source="upstream", tokens=0, **trace):
    """A whole answer, as from there."""
    body = {"choices": [{"message": {"content": text}}], **({"usage": {"total_tokens": tokens}} if tokens else {})}
    body |= {"subsecond": trace} if trace else {}
    return reply(
        body, cache_status="subsecond; fwd=miss" if source == "upstream" else f"subsecond; hit; detail={source}"
    )


def refusal(status, message="no"):
    return reply({"error": {"message": message}}, status)


def streamed(words, *, gap=0.02, source="upstream", at_once=1):
    """A stream of these words, `at_once` of them in one arrival, so far apart."""
    events = [b"data: " + json.dumps({"choices": [{"delta": {"content": f"{word} "}}]}).encode() for word in words]
    events.append(b"data: [DONE]")
    parts = [b"\n\n".join(events[n : n + at_once]) + b"\n\n" for n in range(0, len(events), at_once)]
    arrivals = [Arrival(0.1 + n * gap, part) for n, part in enumerate(parts)]
    status = "subsecond; fwd=miss" if source == "upstream" else f"subsecond; hit; detail={source}"
    return Reply(200, {"cache-status": status}, arrivals, arrivals[-1].at + 0.005)


def run_of(streaming=None, completion=None, statistics=None, account=None, *, status="CREATE_COMPLETE", **parameters):
    """A run over these URLs and this account, whose waiting takes no time."""
    clock = Clock()
    stack = Stack("demo", "eu-west-1", status, {**PARAMETERS, **parameters}, OUTPUTS)
    faces = {
        "streaming": Scripted(streaming or {}),
        "completion": Scripted(completion or {}),
        "statistics": Scripted(statistics or {}),
    }

    def sleep(seconds):
        clock.now += seconds

    return Run(stack, account or MemoryAccount(), faces, "m", key="k", sleep=sleep, clock=clock)
