"""A network of its own to be hostile in: web, names and canaries, with the service in its middle.

Run in a network namespace that is thrown away (`unshare --net --mount`): here the service can be
tried with the policy it ships with, since 93.184.216.34 may be ours, and so may 10.0.0.1 and
169.254.169.254. It obeys one JSON line each on stdin and answers on stdout.

A connection to a canary is counted three times over: by its listener, by what it answers, and by a
raw socket that sees every packet on every interface. Believes nothing that the service says.
"""

import asyncio
import base64
import collections
import contextlib
import itertools
import json
import os
import socket
import ssl
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from poster_service import logs
from poster_service.process import census
from poster_service.web.service import Service
from tests.hostile import servers
from tests.hostile.network import FORBIDDEN, MANY, NAMES, PUBLIC, PUBLIC_6, SILENT
from tests.hostile.services import Running, Services

PORTS = (80, 443, 8080, 9222)
DNS_PORT = 53
#: With this byte a client begins that wants TLS.
TLS = b"\x16"
#: Ends of packets that need no excuse: hostile servers' web, and our own questions for names.
ALLOWED = {(PUBLIC, 80), (PUBLIC, 443), (PUBLIC_6, 80), (PUBLIC_6, 443), ("127.0.0.1", DNS_PORT)}


class Names(asyncio.DatagramProtocol):
    """A tiny DNS server without mercy: a name may lead elsewhere each time it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._turns: collections.Counter[tuple[str, int]] = collections.Counter()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += length + 1
        kind = struct.unpack_from("!H", data, at + 1)[0]
        question = data[12 : at + 5]
        name = ".".join(labels).lower()
        self.asked.append(name)
        if name.endswith(SILENT):
            return
        if name.endswith(MANY):
            name = "hostile.test"
        found = self._answers(name, kind)
        code = 0 if name in NAMES else 3
        reply = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(found), 0, 0) + question
        for one in found:
            reply += struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(one)) + one  # to live: 0 s
        if self._transport is not None:
            self._transport.sendto(reply, addr)

    def _answers(self, name: str, kind: int) -> list[bytes]:
        if name not in NAMES or kind not in (1, 28):
            return []
        turn = self._turns[name, kind]
        self._turns[name, kind] += 1
        version = socket.AF_INET if kind == 1 else socket.AF_INET6
        reported = NAMES[name][min(turn, len(NAMES[name]) - 1)].split()
        return [socket.inet_pton(version, one) for one in reported if (":" in one) == (kind == 28)]

    def forget(self) -> None:
        """Begin every name again."""
        self.asked.clear()
        self._turns.clear()


class Canaries:
    """Listeners at forbidden addresses; each connection is counted, and answered."""

    def __init__(self) -> None:
        self.reached: collections.Counter[str] = collections.Counter()
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen on every forbidden address, on every port that is tried."""
        for address, port in itertools.product(FORBIDDEN, PORTS):
            if address == "0.0.0.0":
                continue  # connecting to it is connecting to 127.0.0.1
            where = address + "%lo" if address.startswith("fe80") else address
            self._servers.append(await self._listen(where, port))

    async def _listen(self, address: str, port: int) -> asyncio.Server:
        """Listen; the kernel takes a moment to give an IPv6 address to a new interface."""
        for _ in range(100):
            with contextlib.suppress(OSError):
                return await asyncio.start_server(self._count, address, port)
            await asyncio.sleep(0.05)
        raise OSError(f"{address} never came up")

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        self.reached[f"{address} {port}"] += 1
        with contextlib.suppress(OSError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            if await reader.readexactly(1) == TLS:  # it has no certificate
                raise ConnectionAbortedError
            await reader.readuntil(b"\r\n\r\n")
            body = servers.GREEN_SVG.encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\nConnection: close\r\n"
                b"Access-Control-Allow-Origin: *\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await writer.drain()
        writer.close()


class Packets:
    """Every packet on every interface that is not a hostile server's, ours to count."""

    def __init__(self) -> None:
        self.seen: collections.Counter[str] = collections.Counter()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._take)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, where = self._socket.recvfrom(256)
                if where[2] == socket.PACKET_OUTGOING:  # on lo each comes once more as incoming
                    self._judge(packet, where[1])

    def _judge(self, packet: bytes, kind: int) -> None:
        if kind == 0x0800:
            start, protocol = (packet[0] & 15) * 4, packet[9]
            source, target = (socket.inet_ntop(socket.AF_INET, packet[i : i + 4]) for i in (12, 16))
        elif kind == 0x86DD:
            start, protocol = 40, packet[6]
            source, target = (
                socket.inet_ntop(socket.AF_INET6, packet[i : i + 16]) for i in (8, 24)
            )
        else:
            return
        if protocol not in (6, 17):  # the kernel's own: neighbours, multicast reports, errors
            return
        source_port, target_port = struct.unpack_from("!HH", packet, start)
        ends = {(source, source_port), (target, target_port)}
        if ends & ALLOWED:
            return
        self.seen[f"{'tcp' if protocol == 6 else 'udp'} {target} {target_port}"] += 1


class World:
    """All of it, and the service; obeys `order`."""

    def __init__(self) -> None:
        self.names = Names()
        self.canaries = Canaries()
        self.packets: Packets | None = None
        self.web = servers.HostileServers()
        self._folder = tempfile.TemporaryDirectory(prefix="w")
        Path(self._folder.name).chmod(0o711)  # Chrome may be another user
        self._services = Services(Path(self._folder.name))
        self._now: Running | None = None
        self._peak = [0, 0]

    async def start(self) -> None:
        """Bring up everything but the service."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self.names, ("127.0.0.1", DNS_PORT))
        await self.canaries.start()
        secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate = Path(os.environ["SSL_CERT_FILE"])
        secure.load_cert_chain(certificate, certificate.with_name("key"))
        await self.web.start((PUBLIC, PUBLIC_6), {80: None, 443: secure})
        self.packets = Packets()

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, and tell what was seen meanwhile."""
        alone = order.get("do") in ("crowd", "measure")
        self._now = await self._services.get(order.get("settings", {}), alone=alone)
        self.names.forget()
        self.web.hits.clear()
        self.web.plain.clear()
        self.web.pages = order.get("pages", {})
        self.canaries.reached.clear()
        assert self.packets is not None
        self.packets.seen.clear()
        answer: dict[str, Any] = {}
        if order.get("do") == "measure":
            answer = await self._measured(order["render"])
        elif order.get("do") == "crowd":
            answer = await self._beside_others(order)
        elif order.get("do") == "form":
            answer = await self._send_form(order)
        elif order.get("do") == "job":
            answer = await self._accept(self._post("/jobs", json=order["job"]))
        elif order.get("do") == "ended":
            accepted = await self._accept(self._post("/jobs", json=order["job"]))
            answer = await self._ask("GET", accepted["headers"]["Location"])
        elif order.get("do") == "batch":
            answer = await self._have_batch_done(order["batch"])
        elif "render" in order:
            answer = await self._render(order["render"], order.get("path", "/render"))
        elif order.get("do") == "look":
            answer = self._look()
        await asyncio.sleep(order.get("linger", 0.0))
        return answer | {
            "canaries": dict(self.canaries.reached),
            "packets": dict(self.packets.seen),
            "names": self.names.asked,
            "hits": self.web.hits,
            "plain": self.web.plain,
        }

    async def _render(self, options: dict[str, Any], path: str = "/render") -> dict[str, Any]:
        return await self._post(path, json=options)

    async def _send_form(self, order: dict[str, Any]) -> dict[str, Any]:
        """A form of another service's API: fields, and files by their names."""
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in order["fields"].items():
            form.add_field(name, value)
        for name, value in order["files"].items():
            form.add_field("files", value, filename=name)
        headers = order.get("headers", {})
        return await self._accept(self._post(order["path"], data=form, headers=headers))

    async def _accept(self, posting: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """Post a job, and wait until it has ended and no webhook waits to be delivered."""
        answer = await posting
        if answer["status"] in (202, 204):
            await self._idle()
        return answer

    async def _idle(self) -> None:
        """Wait until no job runs or waits, and no webhook waits to be delivered."""
        jobs, webhooks = self._service.jobs, self._service.webhooks
        for _ in range(3_000):
            is_working = jobs.runner is None or jobs.runner.active.count
            if not (is_working or (await jobs.state()).queued or await webhooks.waiting("")):
                return
            await asyncio.sleep(0.02)
        raise TimeoutError("the job and its webhook")

    async def _have_batch_done(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Post a batch and wait until it has ended; its items, or the answer that refuses it."""
        accepted = await self._accept(self._post("/batches", json=batch))
        if accepted["status"] != 202:
            return accepted
        address = accepted["headers"]["Location"]
        for _ in range(3_000):
            seen = json.loads(base64.b64decode((await self._ask("GET", address))["body"]))
            if not seen["left"]:
                await self._idle()
                return await self._ask("GET", f"{address}/items")
            await asyncio.sleep(0.02)
        raise TimeoutError("the batch")

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return await self._ask("POST", path, **body)

    async def _ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        assert self._now is not None
        connector = aiohttp.UnixConnector(self._now.socket)
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.request(method, f"http://localhost{path}", **body) as response,
        ):
            return {
                "status": response.status,
                "headers": dict(response.headers),
                "body": base64.b64encode(await response.read()).decode(),
            }

    async def _measured(self, options: dict[str, Any]) -> dict[str, Any]:
        """Render, and tell how much disk the lease folders took at most meanwhile."""
        rendering = asyncio.ensure_future(self._render(options))
        most = 0
        while not rendering.done():
            blocks = 0
            with contextlib.suppress(OSError):  # folders go while one looks
                for entry in Path(f"{self._folder.name}/l").rglob("*"):
                    with contextlib.suppress(OSError):
                        blocks += entry.lstat().st_blocks
            most = max(most, blocks * 512)
            await asyncio.sleep(0.05)
        return {**await rendering, "disk": most}

    async def _beside_others(self, order: dict[str, Any]) -> dict[str, Any]:
        """Render while others do, who hang up afterwards; what the service had open meanwhile.

        The others are under way when so many names and addresses have been asked for by them.
        """
        others = [asyncio.ensure_future(self._render(one)) for one in order["crowd"]]
        peak = asyncio.ensure_future(self._most_open())
        asked = order.get("after", 0)
        await _until(lambda: len(self.names.asked) + len(self.web.hits) >= asked, "asked for")
        answer = await self._render(order["render"])
        reported = await asyncio.gather(*others) if order.get("to_the_end") else []
        for one in others:
            one.cancel()
        await asyncio.wait(others)
        peak.cancel()
        outbound = self._service.engine.fetcher.outbound
        statistics = outbound.statistics
        await _until(lambda: not statistics().running + statistics().waiting, "fetches gone")
        await _until(lambda: not any(self._open()), "look-ups gone")
        with contextlib.suppress(asyncio.CancelledError):
            await peak
        return {
            **answer,
            "open": self._peak,
            "reported": [one["headers"].get("X-Render-Warnings", "") for one in reported],
        }

    async def _most_open(self) -> None:
        """Remember the most sockets that fetches and look-ups had open at a time."""
        self._peak = [0, 0]
        while True:
            kinds = self._open()
            most = [kinds.count(False), kinds.count(True)]
            self._peak = [max(pair) for pair in zip(self._peak, most, strict=True)]
            await asyncio.sleep(0.01)

    def _open(self) -> list[bool]:
        """Sockets of fetches (False) and of look-ups (True) among this process's descriptors."""
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile, or is no socket
                if not str(entry.readlink()).startswith("socket:"):
                    continue
                one = socket.socket(fileno=os.dup(int(entry.name)))
                with one:
                    kind = one.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
                    if one.family not in (socket.AF_INET, socket.AF_INET6):
                        continue
                    if kind == socket.SOCK_DGRAM and one.getsockname()[1] != DNS_PORT:
                        found.append(True)
                    elif kind == socket.SOCK_STREAM and one.getsockname()[1] not in PORTS:
                        found.append(False)
        return found

    def _look(self) -> dict[str, Any]:
        """Listening sockets of every Chrome, and the environment of each of its processes."""
        spec = self._service.engine.pool.spec
        seen = census.snapshot(spec.instance, spec.instance_dir)
        inodes = set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if table.startswith("udp") or words[3] == "0A":
                    inodes.add(words[9])
        sockets, environments = [], {}
        for one in seen.alive:
            try:
                links = [str(entry.readlink()) for entry in Path(f"/proc/{one.pid}/fd").iterdir()]
                reported = Path(f"/proc/{one.pid}/environ").read_bytes().decode("latin-1")
            except OSError:  # it ended meanwhile
                continue
            sockets += [f"{one.pid} {link}" for link in links if link[8:-1] in inodes]
            environments[str(one.pid)] = reported
        renewed = self._service.engine.pool.statistics().renewed
        return {"sockets": sockets, "environments": environments, "renewed": renewed}

    @property
    def _service(self) -> Service:
        """The service of this order."""
        assert self._now is not None
        return self._now.service

    async def stop(self) -> None:
        """Stop the services and see that nothing of them is left."""
        await self._services.end()


async def _until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for a condition, for 20 seconds or more.

    Raises:
        TimeoutError: It has not come; names it.
    """
    for _ in range(2000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(what)


async def obey() -> None:
    """One line in, one line out, until stdin ends."""
    world = World()
    await world.start()
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201 - this is how it answers
    while line := await reader.readline():
        try:
            answer = await world.order(json.loads(line))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)  # noqa: T201
    await world.stop()


if __name__ == "__main__":
    logs.set_up(os.environ.get("WORLD_LOG", "error"), "text")
    asyncio.run(obey())
