"""`poster-service batch`: many renders out of a file of items into a folder or a bucket.

Exit status: 0 if every item has its result, 1 if some failed, 2 if nothing was begun because
something given is wrong. A signal ends it after its Chromes have gone; the same command goes on.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from poster_service.commands.inputs import nearest_path, read_text, run_to_end
from poster_service.errors import CallerError, OperatorError, PosterError, UnknownTemplate
from poster_service.render import flags
from poster_service.render.options import RenderOptions
from poster_service.settings import Settings

if TYPE_CHECKING:
    from poster_service.commands.batch_remote import RemoteBatch
    from poster_service.jobs.items import Common, Item, WrongItem
    from poster_service.jobs.local_batch import LocalBatch, Tally, Target
    from poster_service.render.request import Limits

BUCKETS = ("s3://", "gs://", "az://")
REPORT = "failures.ndjson"
NOT_BEGUN = 2
#: A token of the service that `--url` names; no flag: others see the flags of a process.
TOKEN_VARIABLE = "POSTER_CLIENT_TOKEN"  # noqa: S105 - the name of a variable


def add_batch_options(batch: argparse.ArgumentParser, shown: flags.Shown = "all") -> None:
    """The options of a batch, and those of all of its renders."""
    batch.add_argument(
        "items", metavar="ITEMS",
        help="NDJSON: each line is an object with `data`, options and `id`; the first line may be"
        ' {"common": {...}}. Or CSV (.csv, --csv): a header row, then one item per row; the'
        " column `id` is the item's id. - is stdin",
    )  # fmt: skip
    batch.add_argument(
        "--out", metavar="FOLDER|s3://...", required=True,
        help="where to write results: a folder, file:///folder, or a bucket: s3://, gs://, az://",
    )  # fmt: skip
    source = batch.add_mutually_exclusive_group()
    source.add_argument("--template", metavar="NAME", help="render this template for each item")
    source.add_argument(
        "--page",
        metavar="FILE",
        help="render this page for each item; fills its {{ placeholders }}",
    )
    batch.add_argument(
        "--url", metavar="URL",
        help="let the service at this URL render the items (POST /batches) and fetch the results;"
        f" the variable {TOKEN_VARIABLE} has the token",
    )  # fmt: skip
    batch.add_argument("--csv", action="store_true", help="the items are CSV, also from stdin")
    batch.add_argument(
        "--name", metavar="NAME", default="",
        help="name of a result, with {id}, {line}, {digest}, {output} and {extension}; without"
        " {digest}, an item whose data has changed is not rendered again. Default:"
        " {id}-{digest}.{extension}",
    )  # fmt: skip
    batch.add_argument("--again", action="store_true", help="also render items that have a result")
    batch.add_argument(
        "--report", metavar="FILE", default=REPORT,
        help="file for the failed items, one JSON object per line: line, id and problem. Default:"
        f" {REPORT}",
    )  # fmt: skip
    flags.add_flags(batch, RenderOptions, shown)


def run_batch(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Render all items of a file."""
    with contextlib.ExitStack() as files:
        try:
            source = Source(settings, options, files)
            target = target_of(options.out, settings)
            check_names(options, source.common)
            report = files.enter_context(open_report(options.report))
            run = Run(settings, options, source, target, report)
        except (PosterError, OSError) as error:
            print(f"poster-service: {error}", file=sys.stderr)  # noqa: T201 - as for any command
            return NOT_BEGUN
        return run_to_end(run.to_end())


class Source:
    """The items of a file, and what they share; all that can be wrong at once is found here."""

    def __init__(
        self, settings: Settings, options: argparse.Namespace, files: contextlib.ExitStack
    ) -> None:
        """Open the file and read its first line.

        Raises:
            OperatorError: It cannot be read, or what the items share is wrong.
        """
        from poster_service.engine import limits_of
        from poster_service.jobs.items import Common, ItemBounds

        self.bounds: ItemBounds = ItemBounds(
            None, settings.max_body_bytes, settings.max_json_depth, settings.max_json_items
        )
        self.is_csv = options.csv or Path(options.items).suffix.lower() == ".csv"
        self._name = options.items
        self._limits: Limits = limits_of(settings)
        self._file = open_items(options.items, files)
        self.has_common = False
        shared = self._open()
        given = given_common(options, self._limits)
        try:
            self.common = Common(with_source(shared, given), self._limits)
        except CallerError as error:
            raise OperatorError(f"options common to all items: {error}") from error

    def count(self) -> int | None:
        """How many items there are; None for those of stdin.

        Raises:
            OSError: The file cannot be read.
        """
        from poster_service.jobs.item_files import count_items

        if self._name == "-":
            return None
        lines = count_items(Path(self._name), self.bounds, is_csv=self.is_csv)
        return lines - self.has_common

    def items(self) -> "Iterator[Item | WrongItem]":
        """Each item, as it is read."""
        from poster_service.jobs.item_files import csv_items
        from poster_service.jobs.items import ItemReader

        reader = ItemReader(self.common, self.bounds, ItemReader.ALONE)
        if self.is_csv:
            return csv_items(self._rows, reader, blank=self.common.has_placeholders)
        return (reader.of_line(*line) for line in self._lines)

    def _open(self) -> dict[str, Any]:
        """Read what stands before the items; what it says that they share."""
        from poster_service.jobs.item_files import CsvRows, lines_of
        from poster_service.jobs.items import common_of, parse_line

        if self.is_csv:
            self._rows = CsvRows(self._file, self.bounds)
            return {}
        lines = lines_of(self._file, self.bounds.max_line_bytes)
        first = list(itertools.islice(lines, 1))
        shared = None
        with contextlib.suppress(CallerError):  # reported as an item, with all others
            shared = common_of(parse_line(first[0][1], self.bounds)) if first else None
        self._lines = lines if shared is not None else itertools.chain(first, lines)
        self.has_common = shared is not None
        if shared is not None and not isinstance(shared, dict):
            raise OperatorError(f"line {first[0][0]}: common must be an object of options")
        return shared or {}


class Run:
    """One run of the command, from its first Chrome to its last."""

    def __init__(
        self,
        settings: Settings,
        options: argparse.Namespace,
        source: Source,
        target: "Target",
        report: IO[str],
    ) -> None:
        """Count the items; renders nothing.

        Raises:
            OSError: Their file cannot be read.
        """
        self._settings, self._options, self._source = settings, options, source
        self._target, self._report, self._total = target, report, source.count()

    async def to_end(self) -> int:
        """Render everything; the exit status.

        Raises:
            OperatorError: There is no Chrome, or results cannot be stored.
        """
        if self._options.url is not None:
            return await self._follow(self._remote)
        from poster_service.engine import Engine

        engine = Engine(self._settings)
        template = self._source.common.given.get("template")
        try:
            if template is not None:
                engine.templates.find(template)  # once, and not with each item
        except UnknownTemplate as error:
            print(f"poster-service: {error}", file=sys.stderr)  # noqa: T201
            return NOT_BEGUN
        await engine.start()
        try:
            return await self._follow(lambda feed: self._batch(engine, feed))
        finally:
            await engine.stop()

    async def _follow(self, made: "Callable[[Any], LocalBatch | RemoteBatch]") -> int:
        """Run a batch and show how far it is; the exit status."""
        from poster_service.commands.batch_display import show
        from poster_service.jobs.item_files import Feed

        feed = Feed(self._source.items(), 2 * self._settings.concurrency)
        batch = made(feed)
        shown = asyncio.create_task(show(batch.tally))
        try:
            await batch.run()
        finally:
            feed.close()
            shown.cancel()
            await asyncio.gather(shown, return_exceptions=True)
            print(summary(batch.tally, self._options.report), file=sys.stderr)  # noqa: T201
        return int(batch.tally.failed > 0)

    def _batch(self, engine: Any, feed: Any) -> "LocalBatch":
        from poster_service.jobs.local_batch import LocalBatch, Tally

        name, again = self._options.name, self._options.again
        tally = Tally(self._total)
        return LocalBatch(
            engine=engine,
            feed=feed,
            target=self._target,
            name=name,
            again=again,
            report=self._write,
            tally=tally,
        )

    def _remote(self, feed: Any) -> "RemoteBatch":
        from poster_service.commands.batch_remote import RemoteBatch
        from poster_service.jobs.local_batch import Tally

        return RemoteBatch(
            url=self._options.url.rstrip("/"),
            token=os.environ.get(TOKEN_VARIABLE, ""),
            common=self._source.common,
            feed=feed,
            target=self._target,
            name=self._options.name,
            again=self._options.again,
            report=self._write,
            tally=Tally(self._total),
        )

    def _write(self, failure: dict[str, Any]) -> None:
        print(json.dumps(failure, ensure_ascii=False), file=self._report, flush=True)


def given_common(options: argparse.Namespace, limits: "Limits") -> dict[str, Any]:
    """The source and the options that the command line gives to all items, as JSON has them.

    Raises:
        OperatorError: An option is wrong.
    """
    from poster_service.render.faults import validated

    given = flags.given_options(options, RenderOptions)
    checked, faults = validated(RenderOptions, given, strict=False)
    if checked is None:
        raise OperatorError(f"options common to all items: {faults[0]}")
    common: dict[str, Any] = checked.model_dump(mode="json", exclude_unset=True)
    if options.template is not None:
        common["template"] = options.template
    if options.page is not None:
        common["html"] = read_text(options.page)
    return common


def with_source(shared: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What the items of a file share, with what the command line says in its place."""
    from poster_service.render.source import SOURCE_FIELDS

    if any(name in given for name in SOURCE_FIELDS):
        shared = {name: value for name, value in shared.items() if name not in SOURCE_FIELDS}
    return {**shared, **given}


def open_items(name: str, files: contextlib.ExitStack) -> BinaryIO:
    """The file of items, or stdin.

    Raises:
        OperatorError: It cannot be read.
    """
    try:
        if name == "-":
            # Not sys.stdin, and never closed: both would wait for a thread that reads it.
            return open(0, "rb", closefd=False)
        return files.enter_context(Path(name).open("rb"))
    except OSError as error:
        hint = nearest_path(Path(name))
        raise OperatorError(f"cannot read {name}: {error.strerror}{hint}") from error


def open_report(name: str) -> IO[str]:
    """The file of failures, empty; that of an earlier run is replaced.

    Raises:
        OperatorError: It cannot be written.
    """
    try:
        return Path(name).open("w", encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"cannot write {name}: {error.strerror}") from error


def target_of(out: str, settings: Settings) -> "Target":
    """Where results go.

    Raises:
        OperatorError: There is no such place.
    """
    from poster_service.jobs.local_batch import BucketTarget, FolderTarget
    from poster_service.jobs.storage import BucketStorage

    if out.startswith(BUCKETS):
        try:
            return BucketTarget(BucketStorage(settings.model_copy(update={"storage": out})))
        except ModuleNotFoundError as error:
            raise OperatorError(f"--out {out}: install poster-service[storage]") from error
        except Exception as error:  # obstore has errors of its own; their text may show a key
            raise OperatorError(f"--out {out}: {type(error).__name__}") from error
    is_url = "://" in out
    if is_url and not out.startswith("file:///"):
        allowed = ", ".join(("file:///folder", *BUCKETS))
        raise OperatorError(f"--out {out}: must be a folder, or begin with one of {allowed}")
    folder = Path(out.removeprefix("file://"))
    if folder.exists() and not folder.is_dir():
        raise OperatorError(f"--out {out}: is not a folder")
    return FolderTarget(folder)


def check_names(options: argparse.Namespace, common: "Common") -> None:
    """Check `--name` before anything is rendered.

    Raises:
        OperatorError: Two results would have the same name.
    """
    from poster_service.jobs.local_batch import check_name

    if not options.name:
        return
    try:
        check_name(options.name, has_outputs="outputs" in common.given)
    except ValueError as error:
        raise OperatorError(f"--name {options.name}: {error}") from error


def summary(tally: "Tally", report: str) -> str:
    """What a run has done, in a line."""
    parts = [f"{tally.rendered} rendered, {tally.bytes / 1e6:.1f} MB"]
    if tally.present:
        parts.append(f"{tally.present} were there")
    if tally.warned:
        parts.append(f"{tally.warned} with warnings")
    parts.append(f"{tally.failed} failed" + (f", listed in {report}" if tally.failed else ""))
    if tally.left:
        parts.append(f"{tally.left} left: the same command goes on")
    return "; ".join(parts)
