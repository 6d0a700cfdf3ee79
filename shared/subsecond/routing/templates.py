"""An instruction by the question's difficulty: off unless the catalogue names templates for the model or the alias.

What is inserted: the template's text, as it stands, as one system message behind the caller's own first system and
developer messages (their prefix stays what the provider has cached), or before the prompt of a text completion. It is
done to what is sent; the exact key is of what the caller sent, and was made before.
"""

from __future__ import annotations

from dataclasses import replace

from subsecond.dialects.lookup import dialect_of
from subsecond.model import Call
from subsecond.routing.catalogue import Template, Templates

LEADING = frozenset({"system", "developer"})


def pick(templates: Templates | None, difficulty: float | None) -> Template | None:
    """The template for this difficulty; an unknown one takes the default. None where there is none."""
    if templates is None:
        return None
    low, high = templates.cuts
    if difficulty is None or low <= difficulty < high:
        return templates.default
    return (templates.simple if difficulty < low else templates.complex) or templates.default


def applied(call: Call, template: Template | None) -> Call:
    """The call with the template in it; the same call where there is none, or nothing to put it into."""
    if template is None or not dialect_of(call.endpoint).editable:
        return call
    messages, prompt = call.body.get("messages"), call.body.get("prompt")
    if isinstance(messages, list):
        at = next((at for at, one in enumerate(messages) if one.get("role") not in LEADING), len(messages))
        said = {"role": "system", "content": template.text}
        return replace(call, body={**call.body, "messages": [*messages[:at], said, *messages[at:]]})
    if isinstance(prompt, str):
        return replace(call, body={**call.body, "prompt": f"{template.text}\n\n{prompt}"})
    return call
