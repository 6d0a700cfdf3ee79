"""What the checks need of the world: the URLs of the functions, and the account that the stack is in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

Face: TypeAlias = Literal["streaming", "completion", "statistics"]


class Denied(Exception):
    """The caller's own credentials may not do this. The message: the action."""


class Refused(Exception):
    """AWS, or the network, did not do what was asked. The message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request to a function's URL."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes as one read of the connection gave them, so many seconds after the request had left."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """headers: their names in lower case. seconds: until the body had ended."""

    status: int
    headers: Mapping[str, str]
    arrivals: Sequence[Arrival]
    seconds: float

    @property
    def body(self) -> bytes:
        return b"".join(one.data for one in self.arrivals)

    @property
    def json(self) -> dict[str, Any]:
        """Empty where it is no JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def events(self) -> list[dict[str, Any]]:
        """The objects of a stream's `data:` lines."""
        lines = (line.removeprefix(b"data: ") for line in self.body.split(b"\n") if line.startswith(b"data: {"))
        return [json.loads(line) for line in lines]

    @property
    def first(self) -> float:
        """Seconds to the first byte of the body."""
        return self.arrivals[0].at if self.arrivals else self.seconds

    @property
    def source(self) -> str:
        """`exact`, `semantic`, as Cache-Status has it; `upstream` where it was no hit, empty where there is none."""
        status = self.headers.get("cache-status", "")
        return status.rpartition("detail=")[2] if "; hit" in status else "upstream" if status else ""


@dataclass(frozen=True, slots=True)
class Report:
    """What Lambda says of one invocation. request: the x-request-id of what it answered, empty where it was warmed.
    init_ms, restore_ms: of its environment's start, where it had one."""

    request_id: str
    billed_ms: float
    memory_mb: float
    init_ms: float | None = None
    restore_ms: float | None = None
    request: str = ""


class Gateway(Protocol):
    """A function's URL."""

    def ask(self, question: Question) -> Reply:
        """Refused when nothing answers there."""


@dataclass(frozen=True, slots=True)
class Stack:
    """emulated: no AWS, but a stand-in of this project's."""

    name: str
    region: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    emulated: bool = False


class Account(Protocol):
    """Each method is one call of AWS (docs/verify.md lists them). Denied, Refused."""

    def physical(self, kind: str) -> Mapping[str, str]:
        """The stack's resources of this CloudFormation type: their own names, by logical id."""

    def create_key(self, name: str, tenant: str, namespace: str) -> str: ...

    def delete_key(self, token: str) -> None: ...

    def invoke(self, function: str, event: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def configuration(self, function: str, qualifier: str = "") -> Mapping[str, Any]: ...

    def describe(self, function: str, description: str) -> None:
        """Give the function this description: its unpublished code gets new environments. Returns when it has."""

    def alarms(self, names: Sequence[str]) -> Mapping[str, str]:
        """Their states; those that there are."""

    def log_groups(self, prefix: str) -> Mapping[str, int]:
        """Their days of retention by name; 0: for ever."""

    def log_lines(self, group: str, since: float, pattern: str) -> Iterable[Mapping[str, Any]]:
        """The JSON lines since that time (epoch seconds) that match CloudWatch's filter pattern."""

    def point_at_nothing(self, partition: str, key: str) -> bool:
        """Have the whole form of this stored answer be an object that is not there. False while it is not stored."""
