"""Questions, in all dialects: what clients ask, and how they treat the gateway that answers."""

from __future__ import annotations

import asyncio

from tests.soak.mixed.client import DIALECTS, Client
from tests.soak.mixed.questions import LONG, MODEL, Question, common, family, lookalike
from tests.soak.mixed.spoken import SPOKEN
from tests.soak.mixed.wire import Wire

COMMON = 60
TOLD_OFF = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 422, 431, 501, 505})
FAULTS = ("status429", "status500", "truncate3", "stall2", "malformed2", "errorevent2", "nodone", "empty", "slow5")
HUNG_UP = frozenset({"closed", "ConnectionResetError"})
# No text, and an event cut short that looks like a chunk, which passes as it came.
UNREADABLE = frozenset({"empty", "malformed2"})
BROKEN = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
)
# No question in any dialect.
BODIES = (b"{", b"[]", b"\xff\xfe", b'{"model":5}', b'{"messages":[],"max_tokens":"x","input":5}', b"[" * 3_000)
PATHS = (*(SPOKEN[one].path for one in DIALECTS), "/v1/embeddings", "/v1/completions/batch", "/v1/cache/feedback")


async def hit(client: Client) -> None:
    await client.ask("exact", common(client.random.randrange(COMMON), client.dialect()))


async def private(client: Client) -> None:
    text = f"What do you know of {client.tenant}'s contract {client.random.randrange(20)}?"
    await client.ask("private", Question(text, tag="private", dialect=client.dialect()))


async def semantic(client: Client) -> None:
    await client.ask("semantic", family(client.random.randrange(1_000), client.random.randrange(3), client.dialect()))


async def side_by_side(client: Client) -> None:
    await client.ask("lookalike", lookalike(client.random.randrange(1_000), client.dialect()))


async def miss(client: Client) -> None:
    await client.ask("miss", client.new(MODEL))


async def joined(client: Client) -> None:
    """Several at once, of both tenants, in both forms; one of them leaves."""
    question = client.new(LONG)
    numbers = (client.number + at for at in range(7))
    *others, leaver = (Client(client.place, number, client.judge, client.tally) for number in numbers)
    asked = [one.ask("joined", question, stream=bool(at // 2 % 2)) for at, one in enumerate(others)]
    await asyncio.gather(*asked, leaver.leave("joined, left", question, client.random.randrange(1, 4_000)))
    for one in others:
        one.wire.close()


async def cut(client: Client) -> None:
    """A stream that is left at a byte of chance."""
    await client.leave("cut", client.new(LONG), client.random.randrange(1, 12_000))


async def gone(client: Client) -> None:
    """Left before the answer, or before the question is out."""
    sent = client.sent("gone", client.new(LONG))
    raw = client.raw(sent.question, stream=client.random.random() < 0.5)
    await client.wire.send(raw[: client.random.choice((len(raw), client.random.randrange(1, len(raw))))])
    await asyncio.sleep(client.random.uniform(0, 0.1))
    client.wire.close()
    client.tally.end(sent.kind, sent.route, "left", sent.phase)


async def slow(client: Client) -> None:
    """A reader that is slower than the model: the gateway has to wait for it."""
    sent = client.sent("slow reader", client.new("sim-t5-i0-n1000"))
    wire = Wire(client.place.port, narrow=True)
    await wire.send(client.raw(sent.question, stream=True))
    client.note(sent, await wire.read(pause=0.05))
    wire.close()


async def pipelined(client: Client) -> None:
    """Three questions in one write: the answers come in their order."""
    asked = [common(client.random.randrange(COMMON), client.dialect()) for _ in range(3)]
    sent = [client.sent("pipelined", question) for question in asked]
    raws = [client.raw(question, stream=at == 1) for at, question in enumerate(asked)]
    await client.wire.send(b"".join(raws))
    for one in sent:
        answer = await client.wire.read()
        client.note(one, answer)
        if answer.problem:
            break


async def broken(client: Client) -> None:
    """What is no request, or no question: it is refused, or the connection ends."""
    sent = client.sent("malformed", Question(""))
    junk, path = client.random.choice((*BROKEN, *BODIES)), client.random.choice(PATHS)
    raw = junk if junk in BROKEN else client.request(junk, path)
    wire = Wire(client.place.port)
    await wire.send(raw)
    answer = await wire.read()
    wire.close()
    client.tally.end(sent.kind, "none" if junk in BROKEN else f"POST {path}", answer.end, sent.phase)
    told_off = TOLD_OFF | sent.excuses | client.tally.now.may_say
    if answer.status not in told_off and answer.problem not in HUNG_UP:
        client.tally.unexcused.append(f"malformed: {raw[:80]!r} {answer}")


async def huge(client: Client) -> None:
    """A large body, or one past the bound."""
    if client.random.random() < 0.5:
        await client.ask("large", client.new(MODEL, more=" x" * 300_000))
    else:
        await client.ask("too large", client.new(MODEL, more=" x" * 3_500_000), may=(413,))


async def faulty(client: Client) -> None:
    """A model that fails: the client gets an error, or as much as was said."""
    fault = client.random.choice(FAULTS)
    sent = client.sent(f"model's {fault}", client.new(f"{MODEL}-f{fault}"))
    await client.wire.send(client.raw(sent.question, stream=client.random.random() < 0.5))
    answer = await client.wire.read()
    client.tally.end(sent.kind, sent.route, answer.end, sent.phase)
    if not answer.whole:
        client.tally.unexcused.append(f"{sent.kind}: {answer}")
    elif answer.status == 200 and fault not in UNREADABLE:
        client.judge.check(client.tenant, sent.question, answer, sent.floor)
