"""The dialects that the simulator speaks."""

from __future__ import annotations

from collections.abc import Mapping

from subsecond_local.simulator.dialects.completions import CHAT, TEXT
from subsecond_local.simulator.dialects.dialect import Dialect
from subsecond_local.simulator.dialects.messages import MESSAGES
from subsecond_local.simulator.dialects.responses import RESPONSES

DIALECTS: Mapping[str, Dialect] = {"chat": CHAT, "text": TEXT, "responses": RESPONSES, "messages": MESSAGES}
