"""The fonts that Chrome finds: those of the system and of POSTER_FONTS, and what they can draw.

Chrome uses fontconfig. A configuration file, which a variable in Chrome's environment names, adds
the operator's folders and the language of text that declares none. `fc-list` with the same file
reports which characters the fonts cover. A machine without `fc-list` renders all the same, but
without warnings of missing glyphs.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from poster_service.errors import InvalidSettings
from poster_service.settings import han_language

#: Where Debian and others install fonts.
SYSTEM_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
#: The system's configuration, which Chrome reads unless another is named (fonts-conf(5)).
SYSTEM_CONFIG = "/etc/fonts/fonts.conf"
#: File names that Chrome's font fallback uses: TrueType and OpenType, and collections of them.
SUFFIXES = frozenset((".ttf", ".otf", ".ttc", ".otc"))
#: At most so many files are read in a folder of the operator, including its subfolders.
MAX_FILES = 20_000
#: Time limit of `fc-list` and `fc-cache`, in seconds; reading a folder for the first time is
#: slowest.
TOOL_SECONDS = 60
#: The language of text that declares none, if neither POSTER_LANGUAGE nor the service's environment
#: names one: fontconfig by itself would draw Han text with Japanese forms.
DEFAULT_LANGUAGE = "zh-CN"
#: Families with the forms of a language; the first that is installed is used.
HAN_FAMILIES = {
    "zh-CN": (
        "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
        "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "AR PL UMing CN",
    ),
    "zh-TW": ("Noto Sans CJK TC", "Noto Sans TC", "Source Han Sans TC", "Source Han Sans TW",
              "AR PL UMing TW"),
    "zh-HK": ("Noto Sans CJK HK", "Noto Sans HK", "Source Han Sans HC", "AR PL UMing HK"),
    "ja": ("Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans", "IPAexGothic", "IPAGothic",
           "VL Gothic", "TakaoGothic"),
    "ko": ("Noto Sans CJK KR", "Noto Sans KR", "Source Han Sans K", "Source Han Sans KR",
           "NanumGothic", "UnDotum"),
}  # fmt: skip
#: A tool has its configuration as its standard input: a file in a folder would stay if the service
#: were killed meanwhile. By this link: fontconfig does not read what `/proc/self/fd/0` links to.
STANDARD_INPUT = Path("/dev/stdin")
#: Nor may it write a cache into a home.
NO_HOME = "/dev/null"
#: Code points that have no glyph of their own: Unicode's Default_Ignorable_Code_Point without those
#: of the category Cf.
_IGNORABLE = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF),
)  # fmt: skip
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"))
#: Characters that the text shaper replaces where a font lacks them (HarfBuzz, hb-ot-shape).
_STAND_INS = {"\u2011": "\u2010"}
#: Within so many ns of a change another may leave the same time.
SETTLED_NS = 1_000_000_000
#: So many drawn characters are remembered before none is added; a text has fewer by far.
MAX_DRAWN = 50_000


@dataclass(frozen=True)
class Coverage:
    """The code points that at least one installed font draws.

    Attributes:
        ranges: First and last code point of each range, sorted.
    """

    ranges: tuple[tuple[int, int], ...]
    #: Characters that are known to be drawn, as most of a text are each time.
    _drawn: set[str] = field(default_factory=set, compare=False, repr=False)

    def __contains__(self, character: str) -> bool:
        code, low, high = ord(character), 0, len(self.ranges)
        while low < high:
            middle = (low + high) // 2
            if self.ranges[middle][1] < code:
                low = middle + 1
            else:
                high = middle
        return low < len(self.ranges) and self.ranges[low][0] <= code

    def lacks(self, character: str) -> bool:
        """Whether no font draws a character or all the parts that it is composed of."""
        if is_invisible(character) or character in self:
            return False
        if (other := _STAND_INS.get(character)) is not None and other in self:
            return False
        parts = unicodedata.normalize("NFD", character)
        return parts == character or any(part not in self for part in parts)

    def lacking(self, text: str) -> str:
        """The characters of a text that no font draws."""
        drawn = self._drawn
        found = "".join(one for one in text if one not in drawn and self.lacks(one))
        if len(drawn) < MAX_DRAWN:
            drawn.update(set(text).difference(found))
        return found


@dataclass(frozen=True)
class FontOptions:
    """The operator's settings for fonts.

    Attributes:
        folders: Folders with fonts in addition to the system's.
        language: BCP 47; the language of text that declares none.
    """

    folders: tuple[Path, ...] = ()
    language: str = DEFAULT_LANGUAGE


@dataclass
class Fonts:
    """The fonts of one service; shared by all its Chromes and threads.

    Attributes:
        options: The operator's settings.
        cache: Folder for fontconfig's cache of the operator's folders.
    """

    options: FontOptions = field(default_factory=FontOptions)
    cache: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    #: Each folder, and when an entry of it was last added or removed.
    _seen: tuple[tuple[str, int], ...] | None = None
    #: Whether a later change of these folders would show in their times.
    _is_settled: bool = False
    _identity: str = ""
    _coverage: Coverage | None = None
    _is_known: bool = False

    def config(self) -> str:
        """The text of fontconfig's configuration: the system's, and what the options add."""
        system = os.environ.get("FONTCONFIG_FILE") or SYSTEM_CONFIG
        folders = [f"<dir>{escape(str(folder))}</dir>" for folder in self.options.folders]
        caches = [f"<cachedir>{escape(str(self.cache))}</cachedir>"] if self.cache else []
        include = f'<include ignore_missing="yes">{escape(system)}</include>'
        rules = [_preferred(family) for family in HAN_FAMILIES[self.options.language]]
        lines = ["<fontconfig>", *caches, include, *folders, *rules, "</fontconfig>"]
        return "<?xml version='1.0'?>\n" + "\n".join(lines) + "\n"

    def environment(self, config: Path) -> dict[str, str]:
        """Variables that make a program find these fonts; `config` is the file with `config()`."""
        # The language that fontconfig assumes decides more than Han text: the font for arrows and
        # stars, and for `system-ui`. So it is the same on every machine.
        return {"FONTCONFIG_FILE": str(config), "FC_LANG": "en"}

    def prepare(self) -> None:
        """Have fontconfig read the operator's folders once, instead of in each Chrome.

        Blocks. Without `fc-cache`, or a writable folder, each Chrome reads them itself.
        """
        if self.options.folders and self.cache is not None:
            try:
                self.cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.cache.mkdir(exist_ok=True)
                self.cache.chmod(0o755)  # at any umask: Chrome may be another user
            except OSError:
                return
            self._run("fc-cache", *map(str, self.options.folders))

    def identity(self) -> str:
        """A digest that changes when fonts are added or removed. Blocks briefly, for stat calls.

        It depends on folders, names and sizes, so that replicas with the same fonts share it.
        """
        with self._lock:
            if self._is_unchanged():
                return self._identity
            folders = (*SYSTEM_FOLDERS, *self.options.folders)
            now, seen = time.time_ns(), tuple(_times_of(folders))
            self._is_settled = all(changed < now - SETTLED_NS for _, changed in seen)
            if seen != self._seen:
                self._seen, self._is_known = seen, False
                self._identity = _digest(folders, self.options.language)
            return self._identity

    def _is_unchanged(self) -> bool:
        """Whether the folders are as they were when all of them were last looked through.

        A folder that has not changed has the same folders in it, so none is listed.
        """
        return self._is_settled and all(_time_of(at) == changed for at, changed in self._seen or ())

    def coverage(self) -> Coverage | None:
        """What the fonts draw; None if `fc-list` fails. Blocks, the first time for long."""
        self.identity()
        with self._lock:
            if not self._is_known:
                self._coverage, self._is_known = self._read_coverage(), True
            return self._coverage

    def suspects(self, text: str) -> str | None:
        """As `lacking`, but without blocking: None where it would block."""
        if not self._is_known:
            return None
        return "" if self._coverage is None else self._coverage.lacking(text)

    def lacking(self, text: str) -> str:
        """The characters that no installed font draws; "" without `fc-list`. Blocks."""
        coverage = self.coverage()
        return "" if coverage is None else coverage.lacking(text)

    def listed(self, form: str) -> list[str] | None:
        """A line of `fc-list` for each font, in a form; None if it fails. Blocks."""
        output = self._run("fc-list", form)
        return None if output is None else output.splitlines()

    def _read_coverage(self) -> Coverage | None:
        form = "--format=%{fontformat}|%{outline}|%{color}|%{charset}\n"
        lines = self.listed(form)
        return None if lines is None else covered(lines)

    def _run(self, tool: str, *arguments: str) -> str | None:
        """The output of a fontconfig tool that sees the same fonts as Chrome; None if it fails."""
        program = shutil.which(tool)
        if program is None:
            return None
        try:
            with os.fdopen(os.memfd_create("fonts.conf"), "w", encoding="utf-8") as config:
                config.write(self.config())
                config.flush()
                run = subprocess.run(  # noqa: S603 - a tool of the system's, arguments of ours
                    [program, *arguments],
                    env={"HOME": NO_HOME, "LANG": "C.UTF-8", **self.environment(STANDARD_INPUT)},
                    stdin=config, capture_output=True, text=True, check=True,
                    timeout=TOOL_SECONDS,
                )  # fmt: skip
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return None
        return run.stdout


def default_language(environ: Mapping[str, str]) -> str:
    """The language of text that declares none: the service's own if that uses Han characters."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environ.get(name):
            return han_language(value.split(".")[0].split("@")[0]) or DEFAULT_LANGUAGE
    return DEFAULT_LANGUAGE


def _preferred(family: str) -> str:
    """A rule that prefers a family for Han text, after all families that a page names.

    With a weak binding, so that the language of an element still decides (fonts-conf(5)).
    """
    name = escape(family)
    return (
        '<match target="pattern"><edit name="family" mode="append_last" binding="weak">'
        f"<string>{name}</string></edit></match>"
    )


def check_folders(folders: Iterable[Path], reader: tuple[int, int] | None = None) -> None:
    """Check that folders exist, contain fonts, and are readable by the user that Chrome runs as.

    Args:
        folders: The folders of POSTER_FONTS.
        reader: uid and gid of Chrome's user; None for our own.

    Raises:
        InvalidSettings: With the folder and what to do.
    """
    for folder in folders:
        if fault := _fault_of(folder, reader):
            raise InvalidSettings(f"POSTER_FONTS={folder}: {fault}")


def _fault_of(folder: Path, reader: tuple[int, int] | None) -> str:
    if not folder.is_absolute():
        return "must be an absolute path"
    if not folder.is_dir():
        return "no such folder; create it, or mount a volume there"
    fonts = _font_files(folder)
    if not fonts:
        return (
            "contains no font that this service can read; put .ttf, .otf or .ttc files in it, and"
            " make them readable (chmod -R a+rX)"
        )
    if reader is not None:
        for path in (*reversed(folder.parents), folder, *fonts):
            if not _may_read(path, reader):
                return (
                    f"Chrome runs as user {reader[0]}:{reader[1]}, which cannot read {path};"
                    f" chmod -R a+rX {folder}, and let others pass through the folders above it"
                )
    return ""


def _may_read(path: Path, reader: tuple[int, int]) -> bool:
    """Whether permission bits let a user read a file or pass through a folder."""
    try:
        found = path.stat()
    except OSError:
        return False
    needed = 0o1 if path.is_dir() else 0o4
    uid, gid = reader
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    return bool(found.st_mode >> shift & needed)


def _font_files(folder: Path) -> list[Path]:
    """Font files in a folder and below, at most `MAX_FILES`."""
    found: list[Path] = []
    for at, _, names in os.walk(folder, followlinks=False):
        found += [Path(at) / name for name in names if _is_readable_font(at, name)]
        if len(found) >= MAX_FILES:
            break
    return found[:MAX_FILES]


def _is_readable_font(at: str, name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and os.access(Path(at) / name, os.R_OK)


def _times_of(folders: Iterable[Path]) -> Iterator[tuple[str, int]]:
    """Each folder in these, with the time at which an entry was last added or removed.

    That is read before the folder is listed: what changes meanwhile shows the next time.
    """
    pending = [str(folder) for folder in folders]
    while pending:
        at = pending.pop()
        yield at, _time_of(at)
        with contextlib.suppress(OSError), os.scandir(at) as entries:
            pending += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _time_of(folder: str) -> int:
    """When an entry was last added or removed, in ns since the epoch; -1 without the folder."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - half the time of a Path's
    except OSError:
        return -1


def _digest(folders: Sequence[Path], language: str) -> str:
    digest = hashlib.blake2b(language.encode(), digest_size=8)
    for folder in folders:
        for at, subfolders, names in os.walk(folder):
            subfolders.sort()
            for name in sorted(names):
                path = Path(at, name)
                try:
                    size = path.stat().st_size
                except OSError:
                    size = -1
                digest.update(f"{path}\0{size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def covered(lines: Iterable[str]) -> Coverage:
    """What all fonts cover, from lines of format|outline|color|charset that fc-list prints.

    Bitmap and Type 1 fonts do not count, since Chrome does not fall back to them.
    """
    words: set[str] = set()
    for line in lines:
        form, outline, colour, charset = [*line.split("|"), "", "", "", ""][:4]
        if form in ("TrueType", "CFF") and "True" in (outline, colour):
            words.update(charset.split())
    pairs = sorted(filter(None, map(_pair, words)))
    merged: list[tuple[int, int]] = []
    for first, last in pairs:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return Coverage(tuple(merged))


def _pair(word: str) -> tuple[int, int] | None:
    first, _, last = word.partition("-")
    try:
        return int(first, 16), int(last or first, 16)
    except ValueError:
        return None


def is_invisible(character: str) -> bool:
    """Whether a character has no glyph of its own to miss: spaces, controls, joiners, selectors."""
    code = ord(character)
    return unicodedata.category(character) in _INVISIBLE or any(
        first <= code <= last for first, last in _IGNORABLE
    )
