"""Looking up names without threads, so that each look-up can be cut off.

The system's getaddrinfo(3) holds a thread until the slowest name server has not answered often
enough, 10 to 40 seconds; cancelled, it goes on, and 32 names of one page kept every other page
from theirs. Here each look-up has a c-ares channel of its own, with its own sockets, in the event
loop; it ends, sockets and all, with the task that awaits it.

c-ares reads /etc/hosts, /etc/resolv.conf (servers, search, ndots, timeout, attempts) and the order
in /etc/nsswitch.conf anew each time; it asks for A and AAAA, follows CNAMEs, repeats a cut-off
answer over TCP, and sorts by RFC 6724. It has no other modules of nsswitch (mDNS, LDAP).
"""

import asyncio
import contextlib
import socket

import pycares

#: What means that there is no such name, or no address of it. All else may be better later.
_NO_SUCH = frozenset((
    pycares.errno.ARES_ENODATA, pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_EBADNAME,
    pycares.errno.ARES_EFORMERR, pycares.errno.ARES_ENONAME,
))  # fmt: skip
_FAMILIES = {socket.AF_INET: socket.AF_INET, socket.AF_INET6: socket.AF_INET6}


async def look_up(
    host: str, family: socket.AddressFamily = socket.AF_UNSPEC
) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses of a name, best first.

    Raises:
        socket.gaierror: There are none, or no name server says.
    """
    name = host.rstrip(".").lower()
    if name == "invalid" or name.endswith(".invalid"):  # RFC 6761: never asked for
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with contextlib.closing(_Lookup()) as lookup:
        found = await lookup.ask(host, family)
    return [
        (_FAMILIES[socket.AddressFamily(node.family)], node.addr[0].decode())
        for node in found.nodes
        if node.family in _FAMILIES
    ]


class _Lookup:
    """One channel, driven by the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watched: set[int] = set()
        self._alarm: asyncio.TimerHandle | None = None
        try:
            self._channel = pycares.Channel(sock_state_cb=self._watch)
        except pycares.AresError as error:  # no memory, or a resolv.conf that makes no sense
            raise socket.gaierror(socket.EAI_FAIL, f"no name can be looked up: {error}") from error

    async def ask(self, host: str, family: socket.AddressFamily) -> pycares.AddrInfoResult:
        """Ask, and wait for the answer.

        Raises:
            socket.gaierror: There is none.
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
        except (pycares.AresError, ValueError) as error:  # no name at all
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from error
        self._set_alarm()
        result, code = await answer
        if result is not None and code is None:
            return result
        if code in _NO_SUCH:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        word = pycares.errno.errorcode.get(code or 0, "no answer")
        raise socket.gaierror(socket.EAI_AGAIN, f"Temporary failure in name resolution: {word}")

    def close(self) -> None:
        """End what is asked, and close the sockets."""
        with contextlib.suppress(RuntimeError, pycares.AresError):
            self._channel.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
        for number in list(self._watched):
            self._forget(number)
        self._channel.close()

    def _watch(self, number: int, readable: bool, writable: bool) -> None:
        """C-ares tells what it waits for on a socket; neither means that it is being closed."""
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

    def _set_alarm(self) -> None:
        """Wake when c-ares wants to ask once more, or another server."""
        if self._watched:
            seconds: float = self._channel.timeout()  # type: ignore[no-untyped-call]
            self._alarm = self._loop.call_later(max(seconds, 0.001), self._time_is_up)

    def _time_is_up(self) -> None:
        self._channel.process_fd(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)
        self._set_alarm()
