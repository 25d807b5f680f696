"""Renders the items of a batch with one engine into a folder or a bucket, without a service.

What is there already is not rendered again, so a batch that was cut off goes on where it was: the
name of a result has a digest of all that the result depends on, and other data has another name.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from poster_service.engine import Engine
from poster_service.errors import (
    CallerError,
    ChromeDied,
    Fault,
    InvalidField,
    LoadError,
    OperatorError,
    PosterError,
    RenderFailed,
    StorageFailed,
)
from poster_service.jobs.item_files import Feed
from poster_service.jobs.items import Item, WrongItem
from poster_service.jobs.storage import Storage, StoredObject
from poster_service.problems import problem_of
from poster_service.render.job import CacheControl, RenderContext
from poster_service.render.picture import EXTENSIONS, Picture, Rendered
from poster_service.render.request import RenderRequest
from poster_service.render.source import Template
from poster_service.render.storage_options import check_object_name

#: What may stand for something of an item or a result in a name, and the names if none is asked
#: for: of a single result, and of several outputs.
PLACEHOLDERS = ("id", "line", "digest", "output", "extension")
NAME, NAME_OF_OUTPUTS = "{id}-{digest}.{extension}", "{id}-{digest}-{output}.{extension}"
#: Hexadecimal digits of a digest in a name: of a million items, two of the same id and another
#: digest are never mixed up.
DIGITS = 12
#: Attempts of an item whose Chrome died, or for which there was no room.
ATTEMPTS = 3
#: Results that cannot be stored, one after the other, after which a batch is given up.
MOST_UNSTORED = 20


class Target(Protocol):
    """Where results go."""

    async def has(self, name: str) -> bool:
        """Whether there is a result of that name."""

    async def put(self, name: str, picture: Picture) -> None:
        """Store a result; it is there as a whole or not at all."""


class FolderTarget:
    """Results as files of a folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made yet.

        Args:
            folder: Made with the first result, with the folders above it.
        """
        self._folder = folder

    async def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return (self._folder / name).is_file()

    async def put(self, name: str, picture: Picture) -> None:
        """Write a file.

        Raises:
            OperatorError: It cannot be written.
        """
        try:
            await asyncio.to_thread(self._write, self._folder / name, picture.body)
        except OSError as error:
            raise OperatorError(f"cannot write {name}: {error.strerror}") from error

    def _write(self, file: Path, body: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        # A run that is killed leaves it; the next one renders the same item and replaces it.
        part = file.with_name(f".{file.name}.part")
        try:
            part.write_bytes(body)
            os.replace(part, file)  # noqa: PTH105 - by name, as a whole
        except OSError:
            part.unlink(missing_ok=True)
            raise


class BucketTarget:
    """Results as objects of a bucket."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def has(self, name: str) -> bool:
        """Whether there is an object of that name."""
        return await self._storage.has(name)

    async def put(self, name: str, picture: Picture) -> None:
        """Store an object, or replace it."""
        given = StoredObject(name, picture.body, picture.content_type)
        await self._storage.put(given, replaces=True)


@dataclass
class Tally:
    """The numbers of a batch.

    Attributes:
        total: Items there are; None if that is not known.
        rendered: Items whose results were stored in this run.
        present: Items whose results were there.
        failed: Items that could not be rendered.
        warned: Items of those rendered that have warnings.
        bytes: Of the results stored in this run.
    """

    total: int | None = None
    rendered: int = 0
    present: int = 0
    failed: int = 0
    warned: int = 0
    bytes: int = 0

    @property
    def done(self) -> int:
        """Items that are not left."""
        return self.rendered + self.present + self.failed

    @property
    def left(self) -> int | None:
        """Items to come; None if that is not known."""
        return None if self.total is None else max(0, self.total - self.done)


@dataclass(kw_only=True)
class BatchRun:
    """One run of a batch, in this process or at a service.

    Attributes:
        feed: The items.
        target: Where results go.
        name: Of a result, with `PLACEHOLDERS`; empty for the default.
        again: Whether results that exist already are rendered again.
        report: Gets each failure: the line, the name and the problem.
        tally: What has been done so far.
    """

    feed: Feed[Item | WrongItem]
    target: Target
    name: str
    again: bool
    report: Callable[[dict[str, Any]], None]
    tally: Tally = field(default_factory=Tally)


@dataclass(kw_only=True)
class LocalBatch(BatchRun):
    """One run of a batch that is rendered in this process.

    Attributes:
        engine: Started.
    """

    engine: Engine
    _unstored: int = 0

    async def run(self) -> None:
        """Render all items; failures of items are reported and counted.

        Raises:
            OperatorError: Results cannot be stored, or the items cannot be read.
        """
        settings = self.engine.settings
        # Some more than there are slots, so that none is free while a result is stored.
        more = min(2, settings.queue_size)
        tasks = [asyncio.create_task(self._work()) for _ in range(settings.concurrency + more)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while (item := await self.feed.next()) is not None:
            if isinstance(item, WrongItem):
                self._fail(item, item.error)
                continue
            try:
                await self._one(item)
            except (CallerError, RenderFailed, LoadError) as error:
                self._fail(item, error)

    async def _one(self, item: Item) -> None:
        request = item.request
        check_local(request)
        names = names_of(item, self.name, self._digest(request))
        if not self.again and all([await self.target.has(name) for name in names]):
            self.tally.present += 1
            return
        rendered = await self._rendered(request)
        for name, picture in zip(names, rendered.pictures, strict=True):
            await self._put(name, picture)
        self.tally.rendered += 1
        self.tally.bytes += rendered.size
        self.tally.warned += bool(rendered.warnings)

    async def _rendered(self, request: RenderRequest) -> Rendered:
        # Painted now: no service's Redis, which the settings may name, has a part in it.
        context = RenderContext("", CacheControl(no_store=True))
        for attempt in range(1, ATTEMPTS):
            try:
                return (await self.engine.render(request, context)).rendered
            except (ChromeDied, LoadError) as error:
                await asyncio.sleep(attempt * (error.retry_after or 0))
        return (await self.engine.render(request, context)).rendered

    async def _put(self, name: str, picture: Picture) -> None:
        try:
            await self.target.put(name, picture)
        except StorageFailed as error:
            self._unstored += 1
            if self._unstored >= MOST_UNSTORED:
                raise OperatorError(f"{self._unstored} results in a row: {error}") from error
            raise
        self._unstored = 0

    def _fail(self, item: Item | WrongItem, error: PosterError) -> None:
        self.tally.failed += 1
        self.report({"line": item.number, "id": item.id, "problem": problem_of(error)})

    def _digest(self, request: RenderRequest) -> str:
        source, version = request.source, ""
        if isinstance(source, Template):
            version = self.engine.templates.find(source.template).files.digest
        return digest_of(request, version)


def digest_of(request: RenderRequest, version: str = "") -> str:
    """Of all that a result depends on, but Chrome and the fonts.

    Args:
        request: What is rendered.
        version: Of the template's files, where they are here.
    """
    source = request.source
    whole = [source.kind, source.model_dump(mode="json"), request.options.output_options()]
    text = json.dumps([*whole, version], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def check_local(request: RenderRequest) -> None:
    """Refuse what only a service does.

    Raises:
        InvalidField: The item says where its result is to be stored or sent.
    """
    options = request.options
    names = {"store": options.store, "object": options.object, "destination": options.destination}
    faults = [
        Fault(name, "has no meaning here: results go to --out", "nothing")
        for name, value in names.items()
        if value
    ]
    if faults:
        raise InvalidField.of(*faults)


def check_name(name: str, *, has_outputs: bool) -> None:
    """Refuse names that would be the same for two results.

    Raises:
        ValueError: With what is wrong.
    """
    check_object_name(name, placeholders=PLACEHOLDERS)
    if "{id}" not in name and "{line}" not in name:
        raise ValueError("needs {id} or {line}, or two items would have the same name")
    if has_outputs and "{output}" not in name:
        raise ValueError("needs {output}, or two outputs would have the same name")


def names_of(item: Item, name: str, digest: str) -> list[str]:
    """The names of an item's results.

    Raises:
        InvalidField: Its outputs would have the same name.
    """
    options = item.request.options
    wanted = name or (NAME if options.outputs is None else NAME_OF_OUTPUTS)
    known = {"id": item.id, "line": str(item.number), "digest": digest}
    found = [
        filled(wanted, known | {"output": output or "picture", "extension": extension})
        for output, extension in zip(options.names, extensions_of(item.request), strict=True)
    ]
    if len(set(found)) < len(found):
        raise InvalidField.of(Fault("outputs", "would have the same name", "{output} in --name"))
    return found


def extensions_of(request: RenderRequest) -> Sequence[str]:
    """The ends of the names of a request's results."""
    return [EXTENSIONS.get(one.format, one.format) for one in request.options.captured]


def filled(name: str, values: dict[str, str]) -> str:
    """A name with values in place of its placeholders."""
    for placeholder, value in values.items():
        name = name.replace("{" + placeholder + "}", value)
    return name
