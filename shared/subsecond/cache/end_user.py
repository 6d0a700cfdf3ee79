"""The person behind a request, as far as its fields say: a wall of their own, and a tag on what was made for them."""

from __future__ import annotations

import hmac

from subsecond.cache.canonical import canonical
from subsecond.dialects.lookup import dialect_of
from subsecond.model import Call, Tenant

TAG = "user:"


def end_user(call: Call) -> str:
    """As the client names them; empty where it does not."""
    value = dialect_of(call.endpoint).end_user(call.body)
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical({"user": value}).decode("ascii").strip()


def user_tag(tenant: Tenant, name: str) -> str:
    """Under which the answers that were made for this person can be invalidated. The hash is keyed by the tenant: a
    name that one tenant looks up says nothing of another's. Whoever reads the tables can try names."""
    key, said = f"subsecond end user {tenant.id}".encode(), name.encode("utf-8", "surrogatepass")
    return TAG + hmac.digest(key, said, "sha256").hex()[:32]


def tags_of(call: Call, tenant: Tenant) -> tuple[str, ...]:
    """What the entry of this call can be invalidated by: the caller's tags, and its person's."""
    name = end_user(call)
    return (*call.rules.tags, user_tag(tenant, name)) if name else call.rules.tags


def wall(call: Call, tenant: Tenant, scope: str) -> str:
    """What parts this request's answers from others' of its namespace; empty where nothing does. A request without a
    person is behind its API key's wall where people have walls: a client that forgot a name shares with nobody else."""
    if scope == "user" and (name := end_user(call)):
        return user_tag(tenant, name)
    return f"key:{tenant.key}" if scope in ("user", "key") else ""
