"""What is known of a model by its id: which of Bedrock's two APIs serves it, and what it can.

Everything that is not in here is asked by Converse, without a cache point, and gets a schema as a forced tool: what
every model with tools can. Read in AWS's user guide ("API compatibility", "Prompt caching", "Structured output",
"Adaptive thinking"); nothing of it was tried on AWS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from subsecond.config import Settings

# The prefix of a cross-region profile: `us.`, `eu.`, `apac.`, `us-gov.`, `global.`.
_GEOGRAPHY = re.compile(r"^(?:global|apac|amer|us-gov|[a-z]{2})\.")
# `claude-opus-4-6-v1`, `claude-sonnet-4-20250514-v1:0`; and the older `claude-3-7-sonnet-20250219-v1:0`.
_CLAUDE = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2}))?(?:[-:.@]|$)")
_OLD_CLAUDE = re.compile(r"claude-(\d)(?:-(\d))?-[a-z]")
_NEWEST = (99, 0)


@dataclass(frozen=True, slots=True)
class Family:
    """name: of the foundation model, without region and profile. claude: its version, None for other models."""

    name: str
    openai: bool = False
    claude: tuple[int, int] | None = None

    @property
    def caches(self) -> bool:
        """Whether it takes cache points."""
        return self._from(3, 5) or self.nova

    @property
    def has_schemas(self) -> bool:
        """Whether it keeps to a JSON schema by itself (`outputConfig`, `strict` tools)."""
        return self._from(4, 5)

    @property
    def adapts(self) -> bool:
        """Whether it is told an effort of thinking; an older Claude is told a budget."""
        return self._from(4, 6)

    @property
    def thinks(self) -> bool:
        """Whether it can be told to, and takes its signed thoughts back."""
        return self._from(3, 7)

    @property
    def one_tool_at_a_time(self) -> bool:
        """Whether it can be told so."""
        return self._from(4, 5)

    @property
    def nova(self) -> bool:
        return self.name.startswith("amazon.nova")

    @property
    def nova_2(self) -> bool:
        return self.name.startswith("amazon.nova-2")

    def _from(self, major: int, minor: int) -> bool:
        return self.claude is not None and self.claude >= (major, minor)


class Families:
    """profiles: the foundation model behind a profile's ARN or id, which does not say it."""

    def __init__(self, openai: tuple[str, ...], profiles: Mapping[str, str]) -> None:
        self._openai = openai
        self._profiles = profiles

    @classmethod
    def of(cls, settings: Settings) -> Families:
        lines = [line.strip() for line in settings.bedrock_profiles.split(",") if line.strip()]
        profiles = {line.rpartition("=")[0]: line.rpartition("=")[2] for line in lines}
        return cls(tuple(filter(None, map(str.strip, settings.bedrock_openai.split(",")))), profiles)

    def find(self, model: str) -> Family:
        name = self._profiles.get(model, model).rpartition("/")[2]
        name = _GEOGRAPHY.sub("", name)
        return Family(name, any(fnmatchcase(name, one) for one in self._openai), _claude(name))


def _claude(name: str) -> tuple[int, int] | None:
    if not name.startswith("anthropic.claude"):
        return None
    found = _OLD_CLAUDE.search(name) or _CLAUDE.search(name)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST
