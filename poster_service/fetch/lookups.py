"""DNS lookups without threads, so that each lookup can be cancelled.

The system's getaddrinfo(3) blocks a thread until the slowest name server has timed out often
enough, 10 to 40 seconds; it cannot be cancelled, and 32 names of one page blocked the lookups of
all other pages. Here each lookup has a c-ares channel of its own, with its own sockets, in the
event loop; it ends, sockets included, with the task that awaits it.

c-ares reads /etc/hosts, /etc/resolv.conf (servers, search, ndots, timeout, attempts) and the order
in /etc/nsswitch.conf again for each lookup; it queries A and AAAA, follows CNAMEs, repeats a
truncated answer over TCP, and sorts by RFC 6724. It has no other modules of nsswitch (mDNS, LDAP).
"""

import asyncio
import contextlib
import socket

import pycares

#: Errors that mean: no such name, or no address of it. After any other a retry may help.
_NOT_FOUND = frozenset((
    pycares.errno.ARES_ENODATA, pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_EBADNAME,
    pycares.errno.ARES_EFORMERR, pycares.errno.ARES_ENONAME,
))  # fmt: skip
_FAMILIES = {socket.AF_INET: socket.AF_INET, socket.AF_INET6: socket.AF_INET6}


async def look_up(
    host: str, family: socket.AddressFamily = socket.AF_UNSPEC
) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses of a name, best first.

    Raises:
        socket.gaierror: There are none (EAI_NONAME), or no name server answers (EAI_AGAIN).
    """
    name = host.rstrip(".").lower()
    if name == "invalid" or name.endswith(".invalid"):  # RFC 6761: no query
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with contextlib.closing(_Lookup()) as lookup:
        found = await lookup.query(host, family)
    return [
        (_FAMILIES[socket.AddressFamily(node.family)], node.addr[0].decode())
        for node in found.nodes
        if node.family in _FAMILIES
    ]


class _Lookup:
    """One c-ares channel, driven by the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watched: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._channel = pycares.Channel(sock_state_cb=self._watch)
        except pycares.AresError as error:  # out of memory, or an invalid resolv.conf
            raise socket.gaierror(socket.EAI_FAIL, f"DNS lookup cannot start: {error}") from error

    async def query(self, host: str, family: socket.AddressFamily) -> pycares.AddrInfoResult:
        """Send the query, and wait for the answer.

        Raises:
            socket.gaierror: The name does not exist, or no server answered.
        """
        answer: asyncio.Future[tuple[pycares.AddrInfoResult | None, int | None]]
        answer = self._loop.create_future()

        def answered(result: pycares.AddrInfoResult | None, error: int | None) -> None:
            if not answer.done():
                answer.set_result((result, error))

        try:
            self._channel.getaddrinfo(
                host, None, family=family, type=socket.SOCK_STREAM, callback=answered
            )
        except (pycares.AresError, ValueError) as error:  # not a valid name
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from error
        self._set_timer()
        result, code = await answer
        if result is not None and code is None:
            return result
        if code in _NOT_FOUND:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        detail = pycares.errno.errorcode.get(code or 0, "no answer")
        raise socket.gaierror(socket.EAI_AGAIN, f"Temporary failure in name resolution: {detail}")

    def close(self) -> None:
        """Cancel the query, and close the sockets."""
        with contextlib.suppress(RuntimeError, pycares.AresError):
            self._channel.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for number in list(self._watched):
            self._forget(number)
        self._channel.close()

    def _watch(self, number: int, readable: bool, writable: bool) -> None:
        """Called by c-ares with what it waits for on a socket; neither means: about to close."""
        self._forget(number)
        if not (readable or writable):
            return
        self._watched.add(number)
        bad = pycares.ARES_SOCKET_BAD
        if readable:
            self._loop.add_reader(number, self._channel.process_fd, number, bad)
        if writable:
            self._loop.add_writer(number, self._channel.process_fd, bad, number)

    def _forget(self, number: int) -> None:
        if number in self._watched:
            self._watched.discard(number)
            self._loop.remove_reader(number)
            self._loop.remove_writer(number)

    def _set_timer(self) -> None:
        """Wake up when c-ares wants to repeat the query, or to query another server."""
        if self._watched:
            seconds: float = self._channel.timeout()  # type: ignore[no-untyped-call]
            self._timer = self._loop.call_later(max(seconds, 0.001), self._on_timeout)

    def _on_timeout(self) -> None:
        self._channel.process_fd(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)
        self._set_timer()
