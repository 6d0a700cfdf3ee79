"""The transport on real sockets: TLS, uvloop, slow readers, large bodies, its end."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections import Counter
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from subsecond.config import Settings
from subsecond.errors import UpstreamTimeout
from subsecond.resending import counted_in
from subsecond.upstreams.http.exchange import SendFailed
from subsecond.upstreams.http.transport import HIGH_WATER, KEEP, KEEPALIVE, Transport, trust
from subsecond.upstreams.openai import build
from tests.support.asking import call, collect, refused


@asynccontextmanager
async def listening(serve, tls=None):
    """Each connection goes to `serve(reader, writer)`; gives the base URL."""

    async def run(reader, writer):
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.01)


async def asked(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head, await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)


async def echo(reader, writer):
    while True:
        _, body = await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def until_closed(reader, writer):
    """Answers without a length, and closes."""
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\nsome")
    await writer.drain()
    writer.write(b"thing")


class Client:
    """Asks for what fits in a line."""

    def __init__(self, transport):
        self.transport = transport

    async def send(self, content=None):
        """The answer, its head read."""
        length = b"" if content is None else b"content-length: %d\r\n" % len(content)
        return await self.transport.send(b"POST / HTTP/1.1\r\nhost: a\r\n" + length + b"\r\n" + (content or b""))

    async def post(self, content=None):
        """(status, body)"""
        body = await self.send(content)
        parts = []
        try:
            while not body.complete:
                await body.wait()
                parts.append(body.take())
            return body.status, b"".join([*parts, body.take()])
        finally:
            body.close()


@asynccontextmanager
async def client_for(base, tls=None, connections=4, connect=5.0):
    url = urlsplit(base)
    transport = Transport(url.hostname, url.port, connections, connect, tls)
    try:
        yield Client(transport), transport
    finally:
        await transport.aclose()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """(server's context, a client's that trusts it)"""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain, pem = serialization.NoEncryption(), serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


async def test_an_answer_has_its_status_its_headers_and_its_body():
    async with listening(echo) as base, client_for(base) as (client, _):
        body = await client.send(b"hello")
        assert (body.status, body.headers, body.resent) == (200, [(b"content-length", b"5")], False)
        assert body.take() == b"hello"
        assert body.complete
        body.close()


async def test_tls_is_spoken_kept_and_ended(tls):
    server, trusting = tls
    async with listening(echo, server) as base, client_for(base, trusting) as (client, transport):
        for _ in range(3):
            assert await client.post(b"x" * 100_000) == (200, b"x" * 100_000)
        assert len(transport._open) == 1
        task = asyncio.create_task(client.post())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.post(b"again") == (200, b"again")
    async with listening(until_closed, server) as base, client_for(base, trusting) as (client, _):
        assert await client.post() == (200, b"something")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls):
    async with listening(echo, tls[0]) as base, client_for(base, trust()) as (client, _):
        with pytest.raises(SendFailed, match="certificate"):
            await client.post()


def test_the_systems_certificates_are_trusted_and_names_checked():
    context = trust()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_python_without_certificates_finds_the_systems(monkeypatch):
    nothing = ssl.get_default_verify_paths()._replace(cafile=None, capath=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    assert trust().verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_the_kernel_looks_after_silent_connections(run):
    async def options():
        async with listening(echo) as base, client_for(base) as (client, transport):
            await client.post(b"x")
            (kept,) = transport._idle
            found = kept._transport.get_extra_info("socket")
            assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            names = [name for name in KEEPALIVE if hasattr(socket, name)]
            return {name: found.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names}

    # Before address translation forgets (350 s), and a dead peer is noticed within minutes.
    kept = run(options())
    assert kept == {name: KEEPALIVE[name] for name in kept}
    assert KEEPALIVE["TCP_KEEPIDLE"] + KEEPALIVE["TCP_KEEPINTVL"] * KEEPALIVE["TCP_KEEPCNT"] < 350


async def test_a_slow_reader_slows_the_server_down():
    sent = 0

    async def pour(reader, writer):
        nonlocal sent
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (1 << 26))
        for _ in range(1 << 10):
            writer.write(b"x" * (1 << 16))
            await writer.drain()
            sent += 1 << 16

    async with listening(pour) as base, client_for(base) as (client, transport):
        body = await client.send()
        (connection,) = transport._open
        while not (connection._paused or body.complete):  # noqa: ASYNC110 - a connection tells nobody that it pauses
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # nothing more may come meanwhile
        held = len(body.take())
        assert HIGH_WATER <= held < 4 * HIGH_WATER
        assert sent < 1 << 26
        taken = held
        while not body.complete:
            await body.wait()
            taken += len(body.take())
        assert taken == 1 << 26
        body.close()


async def test_an_answer_that_comes_before_the_whole_question_is_taken_and_the_connection_is_not_kept():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)

    async with listening(refuse) as base, client_for(base) as (client, transport):
        assert await client.post(b"x" * 50_000_000) == (413, b"")
        assert transport._idle == []


async def test_a_connection_unused_for_too_long_is_not_used_again():
    async with listening(echo) as base, client_for(base) as (client, transport):
        await client.post(b"1")
        (kept,) = transport._idle
        kept._since -= KEEP + 1
        await client.post(b"2")
        assert transport._idle != [kept]


async def stall(reader, writer):
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")
    await reader.read()


async def test_closing_ends_what_is_still_read():
    async with listening(stall) as base, client_for(base) as (client, transport):
        body = await client.send()
        assert body.take() == b"part"
        await transport.aclose()
        await body.wait()
        with pytest.raises(ConnectionError):
            body.take()


async def test_a_reader_that_gives_up_leaves_the_connection_closed_and_its_place_free():
    async with listening(stall) as base, client_for(base, connections=1) as (client, transport):
        for _ in range(2):
            (await client.send()).close()
            assert not transport.slots.locked()
            assert transport._idle == []


async def test_who_waits_too_long_for_an_answer_leaves_its_place():
    async with listening(hang) as base, client_for(base, connections=1) as (_, transport):
        with pytest.raises(TimeoutError):
            await transport.send(b"GET / HTTP/1.1\r\n\r\n", asyncio.get_running_loop().time() + 0.05)
        assert not transport.slots.locked()


class Dying:
    """Answers each connection's first request, once `keeping` of them are there. On the second one it says `last` and
    closes, and from then on closes new connections too where `fresh` is False. What was asked is counted."""

    def __init__(self, keeping, last=b"", *, fresh=True):
        self.sent = 0
        self.last = last
        self.fresh = fresh
        self.dying = False
        self.together = asyncio.Barrier(keeping)

    async def serve(self, reader, writer):
        await asked(reader)
        self.sent += 1
        if self.dying and not self.fresh:
            return
        if not self.dying:
            await self.together.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await asked(reader)
        self.dying = True
        self.sent += 1
        writer.write(self.last)

    async def keep(self, client):
        await asyncio.gather(*(client.post(b"x") for _ in range(self.together.parties)))
        self.sent = 0


@pytest.mark.parametrize("keeping", [1, 12])
async def test_what_a_dying_connection_took_goes_out_once_more_on_a_new_one(keeping):
    server = Dying(keeping)
    async with listening(server.serve) as base, client_for(base, connections=keeping) as (client, transport):
        await server.keep(client)
        counts = Counter()
        counted_in(counts)
        assert await client.post(b"x") == (200, b"ok")
        assert (server.sent, counts["retries"]) == (2, 1)
        assert len(transport._open) == keeping


async def test_a_request_is_sent_at_most_twice_however_many_connections_die():
    server = Dying(12, fresh=False)
    async with listening(server.serve) as base, client_for(base, connections=12) as (client, transport):
        await server.keep(client)
        with pytest.raises(SendFailed):
            await client.post(b"x")
        assert server.sent == 2
        assert transport.slots._value == 12


@pytest.mark.parametrize("last", [b"HTTP/1.1 200 OK\r\n", b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"nonsense\r\n\r\n"])
async def test_nothing_is_sent_again_once_the_server_has_said_anything(last):
    server = Dying(1, last)
    async with listening(server.serve) as base, client_for(base) as (client, _):
        await server.keep(client)
        with pytest.raises(SendFailed):
            await client.post(b"x")
        assert server.sent == 1


async def test_a_failed_connect_gives_its_place_back():
    async with listening(echo) as base:
        pass
    async with client_for(base, connections=1) as (client, transport):
        with pytest.raises(SendFailed):
            await client.post(b"x")
        assert not transport.slots.locked()


async def test_a_connect_that_is_given_up_gives_its_place_back(tls):
    async with listening(hang) as base, client_for(base, tls[1], connections=1) as (client, transport):
        asking = asyncio.create_task(client.post(b"x"))
        await asyncio.sleep(0.05)  # nobody shakes hands there
        assert transport.slots.locked()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not transport.slots.locked()


async def test_a_failed_connect_for_what_goes_out_again_gives_its_place_back():
    async def once(reader, writer):
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        server.close()  # takes no new connections
        await asked(reader)
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with client_for(base, connections=1) as (client, transport):
        await client.post(b"x")
        with pytest.raises(SendFailed):
            await client.post(b"x")
        assert not transport.slots.locked()


async def events_then_end(reader, writer):
    """The body's end comes a moment after `[DONE]`; on the third request the connection closes in its place."""
    for number in range(1, 4):
        await asked(reader)
        for event in (b'data: {"a":1}\n\n', b"data: [DONE]\n\n"):
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write((head if b"{" in event else b"") + b"%x\r\n%b\r\n" % (len(event), event))
        await asyncio.sleep(0.01)
        if number < 3:
            writer.write(b"0\r\n\r\n")


async def hang(reader, _writer):
    await reader.read()


async def streams():
    async with listening(events_then_end) as base:
        upstream = build(Settings(upstream_url=base, upstream_retries=0))
        for _ in range(5):
            assert await collect(upstream) == [b'{"a":1}']
            await asyncio.sleep(0.05)
        stream = await upstream.ask(call())
        await stream.next()
        stream.close()
        await upstream.aclose()
    async with listening(hang) as base:
        upstream = build(Settings(upstream_url=base, first_token_timeout=0.05))
        await refused(UpstreamTimeout, upstream)
        await upstream.aclose()


def test_streams_time_limits_and_ends_are_the_same_on_uvloop():
    uvloop.run(streams())


def test_tls_is_the_same_on_uvloop(tls):
    async def echoes():
        async with listening(echo, tls[0]) as base, client_for(base, tls[1]) as (client, transport):
            for _ in range(3):
                assert await client.post(b"x" * 300_000) == (200, b"x" * 300_000)
            assert len(transport._open) == 1

    uvloop.run(echoes())
