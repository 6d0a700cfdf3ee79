"""The face: routes, wire <-> model, SSE, headers, errors."""
