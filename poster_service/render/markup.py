"""All templates of one folder: read at the start, and again when their files change.

Jinja2 runs in its sandbox with autoescape always on. When a changed template has a mistake, its
previous version stays in use, and the mistake is logged and listed. Checking for changes reads the
disk, so the service calls these methods from threads while it runs.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from poster_service.errors import Fault, PageFailed, TemplatesBroken, UnknownTemplate
from poster_service.logs import event
from poster_service.render.folder import Stamp, is_settled, snapshot, stamp_of, stamps_of
from poster_service.render.mistakes import FaultyTemplate, Mistake
from poster_service.render.page_memo import PageMemo
from poster_service.render.qr import qr_svg
from poster_service.render.schema import MAX_VALUES, check_data
from poster_service.render.template import NAME, PAGE, Reader, Template, is_template
from poster_service.similar import did_you_mean

__all__ = ["PAGE", "Template", "Templates", "check"]

logger = logging.getLogger(__name__)

#: How often all folders are checked for changes, in seconds: mistakes are logged without a render.
CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Entry:
    """The state of one folder.

    Attributes:
        stamps: Those of its files, and of files elsewhere that its page includes.
        is_settled: Whether any later change would show in these stamps.
        template: The last version without mistakes; None where there never was one.
        mistakes: The mistakes of the current version.
    """

    stamps: Mapping[str, Stamp]
    is_settled: bool
    template: Template | None
    mistakes: tuple[Mistake, ...] = ()


class Templates:
    """All templates of one folder.

    Attributes:
        generation: A number that changes whenever the result of `list` changes.
    """

    def __init__(
        self, folder: Path, max_values: int = MAX_VALUES, known: Mapping[str, Entry] | None = None
    ) -> None:
        """Read and check every template.

        Args:
            folder: The folder with the template folders.
            max_values: How many values a template's data may have, counted at every level.
            known: The `entries` of others that have read this folder. What has not changed since
                is not read again: a process that starts hundreds of services reads it once.

        Raises:
            TemplatesBroken: The message has every mistake with its file and the remedy.
        """
        self._root, self._max_values = folder.absolute(), max_values
        self._environment = environment()
        self._lock = threading.Lock()
        self._memo = PageMemo()
        self._entries: dict[str, Entry] = dict(known or {})
        self._is_started = False
        self._unlisted = ""
        self.generation = 0
        check_root(folder)
        self.refresh()
        mistakes = [mistake for entry in self._entries.values() for mistake in entry.mistakes]
        if mistakes:
            raise TemplatesBroken(_startup_message(folder, mistakes))
        if not self._entries:
            raise TemplatesBroken(
                f"POSTER_TEMPLATES={folder}: contains no template; a template is a folder in it"
                " with poster.html, schema.json and sample.json"
            )
        self._is_started = True

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every folder's state by its name, as of the last check for changes."""
        return dict(self._entries)

    def list(self) -> list[dict[str, Any]]:
        """The entries of GET /templates, sorted by name, as of the last check for changes."""
        entries = sorted(self._entries.items())
        return [entry.template.public() for _, entry in entries if entry.template is not None]

    def faults(self) -> Sequence[dict[str, Any]]:
        """The folders with mistakes, and whether an earlier version of each is in use."""
        return [
            {
                "name": name,
                "in_use": entry.template is not None,
                "mistakes": [str(mistake) for mistake in entry.mistakes],
            }
            for name, entry in sorted(self._entries.items())
            if entry.mistakes
        ]

    def find(self, name: str) -> Template:
        """The template of that name, as it is on the disk now.

        Raises:
            UnknownTemplate: There is none; the fault lists the templates that exist.
            PageFailed: There is a folder of that name, but no version of it without mistakes.
        """
        if NAME.match(name):
            self._refresh_one(name)
        entry = self._entries.get(name)
        if entry is None:
            names = [template["name"] for template in self.list()]
            message = f"unknown template {name!r}{did_you_mean(name, names)}"
            raise UnknownTemplate.of(Fault("template", message, ", ".join(names)))
        if entry.template is None:
            raise PageFailed(f"the template {name} cannot be used: {entry.mistakes[0]}")
        return entry.template

    def version_of(self, name: str) -> int | None:
        """The version of a template as of the last check for changes; None if there is none."""
        entry = self._entries.get(name)
        return entry.template.version if entry is not None and entry.template is not None else None

    def render(self, template: Template, data: Mapping[str, Any]) -> str:
        """The page's HTML.

        Raises:
            InvalidData: The data is invalid by the schema; a fault for each place.
            PageFailed: The template has a mistake; the message names file, line and variable.
        """
        if not template.is_pure:
            return template.render(data, self._max_values)
        return self._memo.page(
            template.version, data, lambda: template.render(data, self._max_values)
        )

    def refresh(self) -> None:
        """Check every folder: new, changed and removed ones."""
        try:
            with os.scandir(self._root) as folders:
                found = {item.name for item in folders if item.name[0] != "." and item.is_dir()}
        except OSError as error:
            if self._unlisted != str(error):  # once, and not at every check
                self._unlisted = str(error)
                what = f"POSTER_TEMPLATES={self._root}: cannot be read: {error.strerror}"
                event(logger, logging.ERROR, f"{what}; all templates stay as they were")
            return
        self._unlisted = ""
        for name in sorted(found | set(self._entries)):
            self._refresh_one(name)

    async def keep_looking(self) -> None:
        """Refresh every `CHECK_SECONDS`, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:  # any: later changes must still be noticed
                logger.exception("checking the templates for changes failed")

    def _refresh_one(self, name: str) -> None:
        """Read a folder again if its files have changed since it was read."""
        with self._lock:
            known = self._entries.get(name)
            stamps = stamps_of(self._root / name)
            if (known is None or known.template is None) and not is_template(stamps):
                self._set_unusable(name, stamps, known)
            elif not stamps and not (self._root / name).is_dir():
                self._drop(name)
            elif known is None or not known.is_settled or not _is_same(known.stamps, stamps):
                self._read(name, known)

    def _set_unusable(self, name: str, stamps: Mapping[str, Stamp], known: Entry | None) -> None:
        """Drop a folder without template files; report one that the service may not open."""
        folder = self._root / name
        is_closed = not stamps and folder.is_dir() and not _may_open(folder)
        if not is_closed:
            self._drop(name)
        elif known is None:
            what = "cannot be opened: make the folder readable for the service"
            self._put(name, Entry(stamps, True, None, (Mistake(name, what),)))

    def _read(self, name: str, known: Entry | None) -> None:
        reader = Reader(self._root, name, self._environment, self._max_values)
        begin = time.time_ns()
        template: Template | None = None
        mistakes: tuple[Mistake, ...] = ()
        stamps: dict[str, Stamp] = dict(stamps_of(self._root / name))
        try:
            template = reader.read()
        except FaultyTemplate as faulty:
            mistakes = faulty.mistakes
        if template is not None:
            stamps = dict(template.files.stamps)
        elif known is not None and known.template is not None:  # assets come from the disk as is
            files = snapshot(self._root / name)
            stamps, template = dict(files.stamps), replace(known.template, files=files)
        stamps |= reader.sources.stamps
        has_settled = is_settled(stamps, begin, time.time_ns())
        self._put(name, Entry(stamps, has_settled, template, mistakes))

    def _put(self, name: str, entry: Entry) -> None:
        """Store the state of a folder, and log it where it changed."""
        known = self._entries.get(name)
        self._entries = {**self._entries, name: entry}  # other threads may iterate the old one
        self.generation += 1
        if not self._is_started:
            return
        if entry.mistakes:
            if known is None or known.mistakes != entry.mistakes or known.stamps != entry.stamps:
                self._log_mistakes(name, entry)
        elif known is None or known.stamps != entry.stamps:
            what = "changed and was read again" if known else "was added"
            event(logger, logging.INFO, f"the template {name} {what}", template=name)

    def _log_mistakes(self, name: str, entry: Entry) -> None:
        effect = "its previous version stays in use" if entry.template else "it cannot be used"
        event(
            logger, logging.ERROR, f"the template {name} has mistakes; {effect}", template=name,
            mistakes=[mistake.whole() for mistake in entry.mistakes],
        )  # fmt: skip

    def _drop(self, name: str) -> None:
        if name in self._entries:
            others = {other: entry for other, entry in self._entries.items() if other != name}
            self._entries = others
            self.generation += 1
            event(logger, logging.INFO, f"the template {name} was removed", template=name)


def _may_open(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=True)


def _is_same(known: Mapping[str, Stamp], stamps: Mapping[str, Stamp]) -> bool:
    """Whether a folder's files, and those elsewhere that it includes, are unchanged."""
    elsewhere = {name: stamp for name, stamp in known.items() if os.path.isabs(name)}  # noqa: PTH117
    if len(known) - len(elsewhere) != len(stamps):
        return False
    return all(known.get(name, ()) == stamp for name, stamp in stamps.items()) and all(
        stamp_of(name) == stamp for name, stamp in elsewhere.items()
    )


def check_root(folder: Path) -> None:
    """Refuse a path that cannot be the folder with the template folders.

    Raises:
        TemplatesBroken: The message names the variable, what is wrong, and the remedy.
    """
    about = f"POSTER_TEMPLATES={folder}"
    if not folder.exists():
        raise TemplatesBroken(f"{about}: no such folder")
    if not folder.is_dir():
        raise TemplatesBroken(f"{about}: is not a folder; name the folder of all templates")
    try:
        files = {item.name for item in folder.iterdir() if item.is_file()}
    except OSError as error:
        raise TemplatesBroken(
            f"{about}: cannot be read: {error.strerror}; make it readable for the service"
        ) from error
    if is_template(dict.fromkeys(files)):
        raise TemplatesBroken(
            f"{about}: is the folder of one template; name its parent folder:"
            f" POSTER_TEMPLATES={folder.resolve().parent}"
        )


def check(template: Template, data: Mapping[str, Any], max_values: int = MAX_VALUES) -> None:
    """Check data against a template's schema.

    Raises:
        InvalidData: With a fault for each invalid place.
    """
    check_data(template.schema, data, max_values)


def environment() -> ImmutableSandboxedEnvironment:
    """The environment of all templates; each has its own loader and compiled code on top of it."""
    environment = ImmutableSandboxedEnvironment(
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # `Templates` checks all files of a template together
    )
    environment.filters["qr_svg"] = qr_svg
    del environment.filters["safe"]  # data must always be escaped
    return environment


def _startup_message(folder: Path, mistakes: "list[Mistake]") -> str:
    """Every mistake that keeps the service from starting."""
    texts = [mistake.whole() for mistake in mistakes]
    if len(texts) == 1:
        return f"POSTER_TEMPLATES={folder}: {texts[0]}"
    return f"POSTER_TEMPLATES={folder}: {len(texts)} mistakes:\n  " + "\n  ".join(texts)
