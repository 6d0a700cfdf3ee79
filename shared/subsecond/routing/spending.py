"""What calls cost of which no usage is known: they were given up, or their server does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from subsecond.dialects.lookup import dialect_of
from subsecond.model import Call, Recording
from subsecond.stats.increments import count_in

if TYPE_CHECKING:
    from subsecond.routing.call_timer import CallTimer
    from subsecond.routing.health import Prediction

# Of prose, to a token.
CHARACTERS = 4


def prompt_tokens(call: Call) -> int:
    """Estimated: for calls that tell no usage."""
    from subsecond.optimiser.tokens import Tokens  # tables that hardly any request needs

    tokens, body = Tokens(), call.body
    counter = tokens.counter(call.model)
    if isinstance(prompt := body.get("prompt"), str):
        return counter.count(prompt)
    told = sum(tokens.message(counter, one) for one in dialect_of(call.endpoint).turns(body))
    return told + tokens.frame(counter, body)


def tokens_of(recording: Recording | None, chunks: int) -> int:
    """Of the answer, as the upstream counts them; where it does not, a chunk of a stream is about one. recording: None
    where the answer goes on."""
    if recording is None:
        return chunks
    count = count_in(recording.usage, "completion_tokens")
    if count is not None:
        return count
    return chunks if recording.form == "stream" else len(recording.text) // CHARACTERS


def tokens_lost(watch: CallTimer, known: Prediction, most: int) -> int:
    """Of a call that was given up before anything came of it: a stream has said nothing, a whole reply was being
    written since its first token. known: of a stream."""
    if watch.form == "stream":
        return 0
    return min(most, int(max(0.0, watch.seconds - known.ttft_p50) * known.tokens_per_second))
