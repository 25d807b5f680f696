"""All templates of one folder: found at the start, read again when their files change.

Jinja2 runs in its sandbox with autoescape always on. A template that was changed for the worse does
not replace the one before it: that one goes on, and the mistake is logged and listed. Looking for
changes reads the disk, so all of this is called from threads while the service runs.
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

import segno
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from poster_service.errors import Fault, PageFailed, TemplatesBroken, UnknownTemplate
from poster_service.logs import event
from poster_service.render.folder import Stamp, is_settled, snapshot, stamp_of, stamps_of
from poster_service.render.mistakes import FaultyTemplate, Mistake
from poster_service.render.schema import MAX_VALUES, check_data
from poster_service.render.template import NAME, PAGE, Reader, Template, is_template

__all__ = ["PAGE", "Template", "Templates", "check", "qr_svg"]

logger = logging.getLogger(__name__)

#: How often all folders are looked at, in seconds, so that mistakes are logged without a render.
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Entry:
    """What is known of one folder.

    Attributes:
        stamps: Of its files, and of those elsewhere that its page includes.
        is_settled: Whether these stamps would show any change since.
        template: The last one that was whole; None where there never was one.
        mistakes: What is wrong with the folder as it is now.
    """

    stamps: Mapping[str, Stamp]
    is_settled: bool
    template: Template | None
    mistakes: tuple[Mistake, ...] = ()


class Templates:
    """All templates of one folder.

    Attributes:
        generation: Another number after every change of what `list` gives.
    """

    def __init__(self, folder: Path, max_values: int = MAX_VALUES) -> None:
        """Read and check every template.

        Args:
            folder: Where the template folders are.
            max_values: Values that a template's data may have, at every level together.

        Raises:
            TemplatesBroken: Naming every file with a mistake, and what to do about it.
        """
        self._root, self._max_values = folder.absolute(), max_values
        self._environment = _environment()
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._is_started = False
        self._unlisted = ""
        self.generation = 0
        check_root(folder)
        self.refresh()
        mistakes = [one for entry in self._entries.values() for one in entry.mistakes]
        if mistakes:
            raise TemplatesBroken(_all(folder, mistakes))
        if not self._entries:
            raise TemplatesBroken(
                f"POSTER_TEMPLATES={folder}: holds no template; a template is a folder in it with"
                " poster.html, schema.json and sample.json"
            )
        self._is_started = True

    def list(self) -> list[dict[str, Any]]:
        """Every template as GET /templates tells it, by name; as of the last look at the disk."""
        entries = sorted(self._entries.items())
        return [entry.template.public() for _, entry in entries if entry.template is not None]

    def faults(self) -> Sequence[dict[str, Any]]:
        """What is wrong with folders now, and whether an earlier version of each is in use."""
        return [
            {
                "name": name,
                "in_use": entry.template is not None,
                "mistakes": [str(one) for one in entry.mistakes],
            }
            for name, entry in sorted(self._entries.items())
            if entry.mistakes
        ]

    def find(self, name: str) -> Template:
        """The template of that name, as it is on the disk now.

        Raises:
            UnknownTemplate: Naming those there are.
            PageFailed: There is a folder of that name, and it was never whole.
        """
        if NAME.match(name):
            self._refresh_one(name)
        entry = self._entries.get(name)
        if entry is None:
            names = ", ".join(one["name"] for one in self.list())
            raise UnknownTemplate.of(Fault("template", f"there is no template {name!r}", names))
        if entry.template is None:
            raise PageFailed(f"the template {name} cannot be used: {entry.mistakes[0]}")
        return entry.template

    def render(self, template: Template, data: Mapping[str, Any]) -> str:
        """The page's HTML.

        Raises:
            InvalidData: The data does not fit the schema; a fault for each place.
            PageFailed: The template itself is at fault; names file, line and variable.
        """
        return template.render(data, self._max_values)

    def refresh(self) -> None:
        """Look at every folder: new ones, changed ones, and those that are gone."""
        try:
            with os.scandir(self._root) as entries:
                found = {one.name for one in entries if one.name[0] != "." and one.is_dir()}
        except OSError as error:
            if self._unlisted != str(error):  # once, and not at every look
                self._unlisted = str(error)
                said = f"POSTER_TEMPLATES={self._root}: cannot be read: {error.strerror}"
                event(logger, logging.ERROR, f"{said}; all templates stay as they were")
            return
        self._unlisted = ""
        for name in sorted(found | set(self._entries)):
            self._refresh_one(name)

    async def keep_looking(self) -> None:
        """Refresh for as long as the service lives."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:  # whatever it was: changes must go on being seen
                logger.exception("looking at the templates failed")

    def _refresh_one(self, name: str) -> None:
        """Read a folder again if its files are not those that were read."""
        with self._lock:
            known = self._entries.get(name)
            stamps = stamps_of(self._root / name)
            if (known is None or known.template is None) and not is_template(stamps):
                self._refuse(name, stamps, known)
            elif not stamps and not (self._root / name).is_dir():
                self._drop(name)
            elif known is None or not known.is_settled or not _is_same(known.stamps, stamps):
                self._read(name, known)

    def _refuse(self, name: str, stamps: Mapping[str, Stamp], known: Entry | None) -> None:
        """A folder without a page is no template; one that is closed to us may be."""
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
        elif known is not None and known.template is not None:  # its files are those of now
            files = snapshot(self._root / name)
            stamps, template = dict(files.stamps), replace(known.template, files=files)
        stamps |= reader.sources.stamps
        self._put(name, Entry(stamps, is_settled(stamps, begin), template, mistakes))

    def _put(self, name: str, entry: Entry) -> None:
        """Take over what was read, and say so where it is another than before."""
        known = self._entries.get(name)
        self._entries = {**self._entries, name: entry}  # others may go through the one before
        self.generation += 1
        if not self._is_started:
            return
        if entry.mistakes:
            if known is None or known.mistakes != entry.mistakes or known.stamps != entry.stamps:
                self._complain(name, entry)
        elif known is None or known.stamps != entry.stamps:
            what = "was read again" if known else "is new"
            event(logger, logging.INFO, f"the template {name} {what}", template=name)

    def _complain(self, name: str, entry: Entry) -> None:
        stays = "the version before it stays in use" if entry.template else "it cannot be used"
        event(
            logger, logging.ERROR, f"the template {name} has mistakes; {stays}", template=name,
            mistakes=[one.whole() for one in entry.mistakes],
        )  # fmt: skip

    def _drop(self, name: str) -> None:
        if name in self._entries:
            self._entries = {one: entry for one, entry in self._entries.items() if one != name}
            self.generation += 1
            event(logger, logging.INFO, f"the template {name} is gone", template=name)


def _may_open(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=True)


def _is_same(known: Mapping[str, Stamp], stamps: Mapping[str, Stamp]) -> bool:
    """Whether a folder's files, and those elsewhere that were read with them, are the same."""
    elsewhere = {name: stamp for name, stamp in known.items() if os.path.isabs(name)}  # noqa: PTH117
    if len(known) - len(elsewhere) != len(stamps):
        return False
    return all(known.get(name, ()) == stamp for name, stamp in stamps.items()) and all(
        stamp_of(name) == stamp for name, stamp in elsewhere.items()
    )


def check_root(folder: Path) -> None:
    """Refuse a folder that cannot be one of template folders.

    Raises:
        TemplatesBroken: Naming the variable, what is wrong, and the remedy.
    """
    about = f"POSTER_TEMPLATES={folder}"
    if not folder.exists():
        raise TemplatesBroken(f"{about}: no such folder")
    if not folder.is_dir():
        raise TemplatesBroken(f"{about}: is a file; name the folder that holds the templates")
    try:
        files = {one.name for one in folder.iterdir() if one.is_file()}
    except OSError as error:
        raise TemplatesBroken(
            f"{about}: cannot be read: {error.strerror}; make it readable for the service"
        ) from error
    if is_template(dict.fromkeys(files)):
        raise TemplatesBroken(
            f"{about}: is the folder of one template; name the folder above it:"
            f" POSTER_TEMPLATES={folder.resolve().parent}"
        )


def check(template: Template, data: Mapping[str, Any], max_values: int = MAX_VALUES) -> None:
    """Check data against a template's schema.

    Raises:
        InvalidData: With a fault for each place that does not fit.
    """
    check_data(template.schema, data, max_values)


def qr_svg(link: str) -> Markup:
    """A QR code of `link` as inline SVG, quiet zone included; a Jinja2 filter.

    Error correction level M recovers 15 % (ISO/IEC 18004), enough for a picture that is sent on
    and compressed again.
    """
    code = segno.make(link, error="m", micro=False)
    return Markup(  # noqa: S704 - segno's own SVG, of modules only: no text of the link is in it
        code.svg_inline(
            border=4, omitsize=True, dark="#1a1a1a", light="#fff", svgclass="qr", lineclass=None
        )
    )


def _environment() -> ImmutableSandboxedEnvironment:
    """What all templates have in common; each has its own sources and compiled code."""
    made = ImmutableSandboxedEnvironment(
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # we look for changes ourselves, of all files of a template together
    )
    made.filters["qr_svg"] = qr_svg
    del made.filters["safe"]  # data is text; nothing makes markup of it
    return made


def _all(folder: Path, mistakes: "list[Mistake]") -> str:
    """Every mistake that keeps the service from starting."""
    said = [one.whole() for one in mistakes]
    if len(said) == 1:
        return f"POSTER_TEMPLATES={folder}: {said[0]}"
    return f"POSTER_TEMPLATES={folder}: {len(said)} mistakes:\n  " + "\n  ".join(said)
