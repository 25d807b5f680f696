"""Stores and sends the result of a render instead of answering with it.

What is known of it then is JSON, stored without addresses and answered with new ones.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from poster_service.jobs import results
from poster_service.jobs.destination import Sender
from poster_service.jobs.results import StoredResult
from poster_service.jobs.storage import ObjectAddress, Storage
from poster_service.render.options import RenderOptions
from poster_service.render.picture import Picture
from poster_service.render.result import Result

#: Gives the address of an object by its name.
AddressOf = Callable[[str], Awaitable[ObjectAddress]]


@dataclass(frozen=True)
class Delivered:
    """What has been done with a result.

    Attributes:
        stored: Its objects, one for each picture; none if it was not stored.
        status: Of the answer of the caller's own address; None if nothing was sent there.
    """

    stored: tuple[StoredResult, ...] = ()
    status: int | None = None


class Deliverer:
    """Stores and sends results; each of them is counted."""

    def __init__(
        self,
        sender: Sender,
        counted: Callable[[Literal["store", "destination"]], AbstractContextManager[None]],
    ) -> None:
        """Hold what it needs.

        Args:
            sender: Sends to addresses of callers.
            counted: Counts one delivery, which is what happens inside.
        """
        self._sender = sender
        self._counted = counted

    async def deliver(
        self,
        pictures: Sequence[Picture],
        options: RenderOptions,
        caller: str,
        storage: Storage | None,
    ) -> Delivered:
        """Send a result where its options want it, and store it in a storage, if there is one.

        Raises:
            PosterError: It could not be sent or stored.
        """
        status = await self.send(pictures, options, caller)
        stored = () if storage is None else await self.store(pictures, options, caller, storage)
        return Delivered(stored, status)

    async def send(
        self, pictures: Sequence[Picture], options: RenderOptions, caller: str
    ) -> int | None:
        """Send a result where its options want it: the status of the answer, None for nowhere.

        Raises:
            DestinationDenied: The network policy forbids it.
            DestinationFailed: It was not accepted.
        """
        if options.destination is None:
            return None
        with self._counted("destination"):
            return await self._sender.send(pictures[0], options.destination, caller)

    async def store(
        self, pictures: Sequence[Picture], options: RenderOptions, caller: str, storage: Storage
    ) -> tuple[StoredResult, ...]:
        """Store a result.

        Raises:
            InvalidField: Two outputs would have the same name.
            StorageFailed: It could not be stored.
        """
        with self._counted("store"):
            return tuple(await results.store(storage, pictures, options, caller))


def known(result: Result, delivered: Delivered) -> dict[str, Any]:
    """What is known of a result and of its objects, without their addresses."""
    sent = {} if delivered.status is None else {"destination_status": delivered.status}
    stored = [{"object": one.name, "is_new": one.is_new} for one in delivered.stored]
    entries = [
        one.known() | sent | (stored[place] if stored else {})
        for place, one in enumerate(result.encoded)
    ]
    if result.names == ("",):
        return {**entries[0], **result.about()}
    outputs = [{"name": name, **entry} for name, entry in zip(result.names, entries, strict=True)]
    return {"etag": result.etag.strip('"'), **result.about(), "outputs": outputs}


async def with_addresses(
    found: Mapping[str, Any], address: AddressOf, origin: str
) -> dict[str, Any]:
    """The same with the address of each object, and for how long it is good.

    Args:
        found: As of `known`.
        address: Gives the address of an object.
        origin: Of this service, for the objects that it serves itself.
    """
    if "outputs" in found:
        outputs = [await with_addresses(one, address, origin) for one in found["outputs"]]
        return {**found, "outputs": outputs}
    if "object" not in found:
        return dict(found)
    where = await address(found["object"])
    url = f"{origin}{where.url}" if where.url.startswith("/") else where.url
    return {**found, "url": url, "expires_seconds": where.seconds}
