"""The command line: serve, render, sign, loadtest, doctor. Errors of ours are a line on stderr."""

import argparse
import asyncio
import ctypes
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from poster_service import __version__, logs
from poster_service.bytecode import compiled
from poster_service.clock import PauseAwareLoop
from poster_service.errors import OperatorError, PosterError
from poster_service.render import flags
from poster_service.render.options import RenderOptions
from poster_service.settings import RENAMED, SECRETS, Settings, flag_of
from poster_service.settings.describe import describe, rows

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOADTEST = "drive a service with posters and hostile pages, and count what is left behind"
MISSING_LOADTEST = (
    "the load test needs the Python packages rich and pygal;"
    " install poster-service[loadtest], in a clone with: pip install -e '.[loadtest]'"
)
#: What ending every Chrome may take after the renders are done, on a loaded machine.
CLEAN_UP_SECONDS = 2.0
#: What the same may take after a second signal, before init kills the service, whose folder then
#: stays. Init's own default of 2 s is short for a machine with much to do.
KILL_GRACE_SECONDS = 6.0
INIT = Path(__file__).with_name("init.py")
#: M_ARENA_MAX, M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h: one arena, and what is 128 KiB
#: or more goes back at once. The latter two are glibc's own first values, which it else raises.
MALLOC_OPTIONS = {-8: 1, -1: 128 << 10, -3: 128 << 10}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of `poster-service`; exits 0, 1 for a failure, 2 for wrong usage."""
    ensure_standard_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["loadtest"]:
        sys.exit(run_loadtest(given[1:]))
    options = parser().parse_args(given)
    try:
        settings = read_settings(options)
        serves = options.run is run_serve
        # Any other command's stdout is its result.
        stream = settings.log_stream if serves else "stderr"
        logs.set_up(log_level(settings, options), settings.log_format, stream)
        if not serves:
            for warning in settings.warnings:
                print(f"poster-service: warning: {warning}", file=sys.stderr)  # noqa: T201
        sys.exit(options.run(settings, options, given))
    except PosterError as error:
        print(f"poster-service: {error}", file=sys.stderr)  # noqa: T201 - the command's own words
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def ensure_standard_streams() -> None:
    """Open /dev/null on each of the descriptors 0, 1 and 2 that our caller has closed.

    Else the next file, pipe or socket opened would get that number, and be written to as stdout or
    handed to every child as its stdin.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so this one
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def parser() -> argparse.ArgumentParser:
    """The whole command line; every setting is a flag of every command."""
    top = argparse.ArgumentParser(
        prog="poster-service",
        description="Turns HTML into pictures with headless Chrome and never leaks a process.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(
        required=True, metavar="serve | render | sign | loadtest | doctor"
    )

    def command(
        name: str, run: Callable[..., int], help_: str, taken: Collection[str] = ()
    ) -> argparse.ArgumentParser:
        settings = setting_flags(taken)
        added = commands.add_parser(name, parents=[settings], help=help_, description=help_)
        added.set_defaults(run=run)
        return added

    command("serve", run_serve, "serve HTTP until SIGTERM or Ctrl-C")
    # `--timeout-ms` is a setting, and an option of one render; the option is what is meant here.
    taken = flags.flags(RenderOptions)
    render = command("render", run_render, "render one page to a file and leave", taken)
    add_render_options(render)
    sign = command("sign", run_sign, "print a signed URL of a template's picture, for <img>", taken)
    add_sign_options(sign)
    doctor = command(
        "doctor", run_doctor, "say what was found on this machine, render a test picture"
    )
    doctor.add_argument("--find-chrome", action="store_true", help="only print Chrome's path")
    commands.add_parser("loadtest", help=LOADTEST)  # for the list; `main` never gets to it
    return top


def setting_flags(taken: Collection[str] = ()) -> argparse.ArgumentParser:
    """A flag for every setting that is not a secret, by group; former names stay out of help.

    Args:
        taken: Flags that the command needs for something else.
    """
    made = argparse.ArgumentParser(add_help=False)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for row in rows():
        if row.flag is None or row.flag in taken:
            continue
        if row.group not in groups:
            groups[row.group] = made.add_argument_group(f"settings: {row.group}")
        groups[row.group].add_argument(
            row.flag, dest=f"set_{row.name}", help=describe(row), metavar="V"
        )
    for former, present in RENAMED.items():
        if present not in SECRETS and flag_of(former) not in taken:
            made.add_argument(flag_of(former), dest=f"set_{former}", help=argparse.SUPPRESS)
    secrets = "; ".join(describe(row) for row in rows() if row.flag is None)
    made.add_argument_group("settings: secrets, as variables only", secrets)
    return made


def add_render_options(
    render: argparse.ArgumentParser, declared: type[RenderOptions] = RenderOptions
) -> None:
    """The options of one render; their values are checked where those over HTTP are."""
    render.add_argument(
        "file", nargs="?", metavar="FILE",
        help="HTML to render; - is stdin. Its relative addresses are files below its own folder",
    )  # fmt: skip
    render.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="file to write; - is stdout"
    )
    render.add_argument("--template", metavar="NAME", help="render this template instead of FILE")
    render.add_argument("--data", metavar="FILE", help="JSON data of the template; - is stdin")
    flags.add_flags(render, declared)


def add_sign_options(
    sign: argparse.ArgumentParser, declared: type[RenderOptions] = RenderOptions
) -> None:
    """The options of `sign`; the key comes from the settings."""
    sign.add_argument("template", metavar="TEMPLATE", help="name of the template")
    sign.add_argument("--data", metavar="FILE", help="JSON data of the template; - is stdin")
    sign.add_argument(
        "--expires", default="1h", metavar="TIME", help="how long it is good: 30s, 10m, 1h, 7d (1h)"
    )
    sign.add_argument(
        "--base-url", metavar="URL", help="where callers reach the service; by default its own"
    )
    sign.add_argument("--key", metavar="NAME", help="the key to sign with; by default the first")
    sign.add_argument(
        "--max-length",
        metavar="CHARACTERS",
        help="refuse a URL that is longer (8000); never more than POSTER_MAX_HEADER_BYTES",
    )
    flags.add_flags(sign, declared)


def read_settings(options: argparse.Namespace) -> Settings:
    """Settings from the environment and the flags.

    Raises:
        InvalidSettings: Names all faults together.
    """
    names = (*Settings.model_fields, *RENAMED)
    flags = {name: getattr(options, f"set_{name}", None) for name in names}
    return Settings.load(os.environ, flags)


def log_level(settings: Settings, options: argparse.Namespace) -> str:
    """A command that ends by itself speaks through its result; it logs only if told to."""
    quiet = options.run is not run_serve and "log_level" not in settings.model_fields_set
    return "error" if quiet else settings.log_level


def run_serve(settings: Settings, _: argparse.Namespace, given: Sequence[str]) -> int:
    """Serve, with init in front."""
    ensure_init(given, settings)
    logs.take_streams()
    for warning in settings.warnings:  # here, because this process may just have replaced one
        logs.event(logger, logging.WARNING, warning)
    give_memory_back()
    from poster_service.web.app import serve

    def tell(address: str) -> None:
        if speaks_plainly(settings):
            announce(address, guarded=bool(settings.tokens or settings.tokens_file))
        else:
            announce_in_log(address)

    with asyncio.Runner(loop_factory=PauseAwareLoop) as runner:
        runner.run(serve(settings, tell))
    return 0


def give_memory_back() -> None:
    """Have the C library return freed memory to the kernel (mallopt(3)); nothing without glibc.

    Pictures of all sizes, made and freed by several threads, otherwise leave it in pieces: over 450
    requests with chaos the service grew from 65 to 72 MiB, and to 68 with glibc's variables that
    mean the same (PSS, one run each). Called before any thread is there, or each would have an
    arena of its own already.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in MALLOC_OPTIONS.items():
            mallopt(option, value)


def speaks_plainly(settings: Settings) -> bool:
    """Whether a person may be reading stdout; where it holds JSON lines, all of them are JSON."""
    as_text = settings.log_format == "text"
    as_text |= settings.log_format == "auto" and sys.stdout.isatty()
    return settings.log_stream == "stderr" or as_text


def announce_in_log(address: str) -> None:
    """Say where we are, as one more line of the log."""
    logs.event(logger, logging.INFO, f"serving on {address}", version=__version__)


def announce(address: str, *, guarded: bool) -> None:
    """Say where we are, and a line that can be pasted; a token is the paster's own."""
    token = ' -H "Authorization: Bearer $TOKEN"' if guarded else ""
    print(  # noqa: T201 - the command's own words
        f"poster-service {__version__} on {address}\n"
        f"try: curl -sS --data-binary '<h1>Hello 你好 👋</h1>' -H 'Content-Type: text/html'"
        f"{token} '{address}/render?width=600&height=300' -o poster.png",
        flush=True,
    )


def ensure_init(given: Sequence[str], settings: Settings) -> None:
    """Replace this process by init with this command behind it, unless init is there already.

    Init waits a little longer for the service than the service waits for its renders.
    POSTER_TEST_NO_INIT=1 leaves it out, for the tests that show what it prevents.
    """
    if init_in_front() or os.environ.get("POSTER_TEST_NO_INIT") == "1":
        return
    grace = settings.stop_grace_seconds + CLEAN_UP_SECONDS
    init = [sys.executable, "-I", "-S", "-E", compiled(INIT), f"--grace={grace:g}"]
    init += [f"--kill-grace={KILL_GRACE_SECONDS:g}"]
    init += ledger_options(settings.work_dir)
    # -P: what lies in the folder we happen to be called from must not be imported as ours.
    command = [sys.executable, "-P", "-m", "poster_service", *given]
    logs.flush()
    os.execv(sys.executable, [*init, "--", *command])  # noqa: S606 - replaces us, no shell


def ledger_options(work_dir: Path) -> list[str]:
    """Have init keep its ledger in the work folder; none where that folder is not ours to use.

    What is wrong with the folder is told later, by the part that cannot do without it.
    """
    try:
        work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = work_dir.stat().st_uid == os.getuid() and os.access(work_dir, os.W_OK)
    except OSError:
        usable = False
    # The pid stays ours: init takes the place of this very process.
    return [f"--status-file={work_dir}/init-{os.getpid()}.json", "-u"] if usable else []


def init_in_front() -> bool:
    """Whether one of our ancestors is our init (it names itself in POSTER_INIT_PID)."""
    import psutil

    named = os.environ.get("POSTER_INIT_PID", "")
    return named.isdigit() and int(named) in {one.pid for one in psutil.Process().parents()}


def run_loadtest(arguments: Sequence[str]) -> int:
    """Drive a service from outside, with options of its own and no settings.

    Imported only here: its tables and plots would cost every start of the service 0.3 s.
    """
    try:
        from poster_service.loadtest import command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "pygal"):
            raise
        print(f"poster-service: {MISSING_LOADTEST}", file=sys.stderr)  # noqa: T201
        return 1

    loadtest = argparse.ArgumentParser(prog="poster-service loadtest", description=LOADTEST)
    command.add_options(loadtest)
    return command.run(loadtest.parse_args(arguments))


def run_render(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Render one page without serving."""
    from poster_service.engine import Engine, limits_of
    from poster_service.render.job import RenderContext
    from poster_service.render.renderer import Rendered
    from poster_service.render.request import RenderRequest

    wanted = render_options(options)
    request = RenderRequest.parse(wanted, limits_of(settings), strict=False)

    async def once() -> Rendered:
        engine = Engine(settings)
        await engine.start()
        try:
            context = RenderContext(folder=folder_of(options.file))
            return (await engine.render(request, context)).rendered
        finally:
            await engine.stop()

    check_output(options.output)
    try:
        rendered = run_to_end(once())
    except PosterError as error:
        print_warnings(error.warnings)
        raise
    print_warnings(rendered.warnings)
    picture = rendered.body
    try:
        if options.output == "-":
            sys.stdout.buffer.write(picture)
            sys.stdout.flush()
        else:
            Path(options.output).write_bytes(picture)
    except OSError as error:
        raise OperatorError(f"cannot write {options.output}: {error.strerror}") from error
    return 0


def folder_of(file: str | None) -> Path | None:
    """The folder of a local page; None for stdin, which as a rule comes from elsewhere."""
    return None if file in (None, "-") else Path(str(file)).parent


def print_warnings(header: str) -> None:
    """Print on stderr what the page went without, a line each, as in `X-Render-Warnings`."""
    from poster_service.render.warnings import items

    for one in items(header):
        print(f"poster-service: warning: {one}", file=sys.stderr)  # noqa: T201 - for the caller


def check_output(name: str) -> None:
    """Look before a Chrome is started whether the picture could be written.

    Raises:
        OperatorError: There is no such folder.
    """
    folder = Path(name).parent
    if name != "-" and not folder.is_dir():
        raise OperatorError(f"cannot write {name}: there is no folder {folder}")


def render_options(
    options: argparse.Namespace, declared: type[RenderOptions] = RenderOptions
) -> dict[str, Any]:
    """The request of a command line; the format defaults to the output's suffix."""
    wanted = flags.given_options(options, declared)
    suffix = Path(options.output).suffix.lower().lstrip(".").replace("jpg", "jpeg")
    if suffix and options.output != "-":
        wanted.setdefault("format", suffix)  # an unknown format is reported with all other faults
    if options.template is not None:
        wanted["template"] = options.template
        wanted["data"] = {}
    if options.data is not None:
        wanted["data"] = parse_data(read_text(options.data))
    if options.file is not None:
        wanted["html"] = read_text(options.file)
    return wanted


def run_sign(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print a signed address; needs no Chrome and no running service."""
    from poster_service.engine import limits_of
    from poster_service.render.request import RenderRequest
    from poster_service.web import signed
    from poster_service.web.address_length import LONGEST, check_length
    from poster_service.web.service import keys_of

    keys = {one.name: one for one in reversed(keys_of(settings).entries)}
    name = options.key or next(reversed(keys), "")
    if name not in keys:
        known = ", ".join(sorted(keys)) or "none: set POSTER_SIGNING_KEYS=name=key"
        raise OperatorError(f"--key {name or '(none)'}: there is no such key (there are: {known})")
    wanted = {"template": options.template, **flags.given_options(options, RenderOptions)}
    if options.data is not None:
        wanted["data"] = parse_data(read_text(options.data))
    RenderRequest.parse(wanted, limits_of(settings), strict=False)  # faults are told here and now
    seconds = duration(options.expires)
    if seconds > settings.signed_url_max_seconds:
        raise OperatorError(
            f"--expires {options.expires}: the service takes {settings.signed_url_max_seconds} s at"
            " most; see POSTER_SIGNED_URL_MAX_SECONDS"
        )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    base = options.base_url or f"http://{host}:{settings.port}"
    expires = int(time.time()) + seconds
    made = signed.address(keys[name], base, wanted, expires)
    most = (
        LONGEST if options.max_length is None else whole_number("--max-length", options.max_length)
    )
    if warning := check_length(made, wanted.get("data"), most, settings.max_header_bytes):
        print(f"poster-service: warning: {warning}", file=sys.stderr)  # noqa: T201 - its own words
    print(made)  # noqa: T201 - the command's result
    return 0


def whole_number(flag: str, text: str) -> int:
    """A number above 0.

    Raises:
        OperatorError: It is none; names the flag.
    """
    if re.fullmatch(r"[1-9][0-9]{0,8}", text) is None:
        raise OperatorError(f"{flag} {text[:100]}: must be a whole number from 1 to 999999999")
    return int(text)


def duration(text: str) -> int:
    """Seconds from 90, 30s, 10m, 1h or 7d.

    Raises:
        OperatorError: It is none of these.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if found is None or not int(found[1]):
        raise OperatorError(f"--expires {text}: must be a time as 30s, 10m, 1h or 7d")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]


def parse_data(text: str) -> Any:
    """Template data from JSON.

    Raises:
        OperatorError: It is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise OperatorError(f"--data is not JSON: {error}") from error


def read_text(name: str) -> str:
    """A file's text, or stdin's.

    Raises:
        OperatorError: It cannot be read.
    """
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"cannot read {name}: {error}") from error


def run_doctor(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Say what was found; 0 when a test picture could be rendered."""
    from poster_service import doctor

    if options.find_chrome:
        print(doctor.chrome_path(settings))  # noqa: T201 - the command's own words
        return 0
    return run_to_end(doctor.examine(settings))


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a command that starts Chromes; a signal ends it after they and their folder are gone.

    Raises:
        SystemExit: With 128 and the number of the signal.
    """
    came: list[int] = []

    async def run() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int) -> None:
            if not came and task is not None:
                task.cancel()
            came.append(number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            loop.add_signal_handler(number, stop, number)
        return await work

    try:
        with asyncio.Runner(loop_factory=PauseAwareLoop) as runner:
            return runner.run(run())
    except asyncio.CancelledError:
        sys.exit(128 + came[0] if came else 1)
