"""The face: FastAPI routes, wire <-> model, SSE, headers, errors."""
