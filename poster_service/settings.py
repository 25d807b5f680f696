"""All settings: frozen, read once, checked as a whole before anything starts.

Each has a unit in its name where it has one, and a default. The setting `stop_grace_seconds` is the
variable POSTER_STOP_GRACE_SECONDS and the flag --stop-grace-seconds; the flag wins.
"""

import ipaddress
import math
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from poster_service import credentials
from poster_service.addresses import same_on_the_wire
from poster_service.credentials import SigningKey, Token
from poster_service.errors import InvalidSettings

PREFIX = "POSTER_"
#: Variables of other parts of us, which the service does not read.
OTHERS = (f"{PREFIX}INIT_", f"{PREFIX}TEST_", f"{PREFIX}LOADTEST_")
#: Never shown, and no flags: everybody on a machine can read a command line.
SECRETS = frozenset({"tokens", "signing_keys", "cache_redis"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _split(value: object) -> object:
    """A list from its comma-separated form."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def canonical_host(host: str) -> str:
    """A host as Chrome and DNS know it: lower case, IDNA, no trailing dot; addresses in one form.

    Raises:
        ValueError: It is none.
    """
    host = host.strip("[]").rstrip(".").lower()
    try:
        return str(same_on_the_wire(ipaddress.ip_address(host)))
    except ValueError:
        pass
    if host.isascii():
        return host
    from yarl import URL  # rarely needed, and not free to import

    return URL.build(scheme="http", host=host).raw_host or ""


def _hosts(value: object) -> object:
    """Names, `*.suffixes` and addresses from their comma-separated form, each in its one form."""
    parts = _split(value)
    if not isinstance(parts, tuple):
        return parts
    return tuple(_host_pattern(str(part)) for part in parts)


def _host_pattern(text: str) -> str:
    star, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        name = canonical_host(rest)
    except ValueError as error:
        raise ValueError(f"{text!r} is no host name") from error
    if not (_HOST.fullmatch(name) or (not star and _is_address(name))):
        raise ValueError(f"{text!r} is neither a host name, *.suffix nor an address")
    return star + name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
Hosts = Annotated[tuple[str, ...], BeforeValidator(_hosts)]


def _tokens(value: object) -> object:
    return credentials.from_pairs(value, credentials.token) if isinstance(value, str) else value


def _signing_keys(value: object) -> object:
    return (
        credentials.from_pairs(value, credentials.signing_key) if isinstance(value, str) else value
    )


def _redis(value: str) -> str:
    from redis.asyncio.connection import parse_url  # for those who have one only

    form = "redis://[user:password@]host[:port][/database], rediss:// or unix://path"
    try:
        parse_url(value)
    except ValueError as error:  # which may tell the password
        raise ValueError(f"it must be {form}") from error
    # Options of the client in the address would be found out with the first render.
    if not re.fullmatch(r"[^?]+(\?db=\d+)?", value):
        raise ValueError(f"it must be {form}, without options but db=")
    return value


def _origin(value: str) -> str:
    """An origin as browsers send it (RFC 6454): no path, no slash, no default port, lower case."""
    if not _ORIGIN.match(value):
        raise ValueError(
            f"{value!r} must be an origin as a browser sends it: https://app.example.com, without"
            " a path or a slash at its end, in lower case; there is no way to name all"
        )
    return value


_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?\Z")


def _user(value: str) -> str:
    """Whom Chrome runs as, in one of its forms; whether there is such a user is seen later."""
    if not _USER.match(value):
        raise ValueError("must be auto, same, the name of a user, uid or uid:gid")
    return value


_USER = re.compile(r"([a-z_][a-z0-9_.-]{0,31}|[0-9]{1,10}(:[0-9]{1,10})?)\Z")


def _language(value: str) -> str:
    """One of the languages that write Han characters in forms of their own."""
    language = han_language(value)
    if language is None:
        raise ValueError(f"{value!r} must be zh-CN, zh-TW, zh-HK, ja or ko")
    return language


def han_language(tag: str) -> str | None:
    """Which of zh-CN, zh-TW, zh-HK, ja and ko a language tag (BCP 47) means; None for others."""
    language, *others = tag.replace("_", "-").lower().split("-")
    if language in ("ja", "ko"):
        return language
    if language != "zh":
        return None
    if "hk" in others or "mo" in others:
        return "zh-HK"
    return "zh-TW" if "tw" in others or "hant" in others else "zh-CN"


#: A path that is none when it is empty, as `POSTER_CHROME=` in a compose file.
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


def default_templates() -> Path:
    """The templates that come with the service: in the package (wheel) or beside it (clone)."""
    package = Path(__file__).resolve().parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def default_work_dir() -> Path:
    """Short, because full Chrome dies at start when its TMPDIR has 70 characters or more."""
    return Path(tempfile.gettempdir()) / f"poster-{os.getuid()}"


def processors(root: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors we may keep busy, 1 to 256.

    The least of: those we may run on (sched_setaffinity(2)), and the CPU time that our control
    group is given, rounded up. In a container its own group is the root of what it sees. `cpu.max`
    is of version 2 of the interface, the other two of version 1 (cgroups(7)).
    """
    allowed = len(os.sched_getaffinity(0))
    for quota_file, period_file in (
        ("cpu.max", ""),
        ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
    ):
        try:
            words = (root / quota_file).read_text().split()
            words += (root / period_file).read_text().split() if period_file else []
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):  # not this version, or "max"
            continue
        if quota > 0 and period > 0:
            allowed = min(allowed, math.ceil(quota / period))
    return max(1, min(256, allowed))


class Settings(BaseModel):
    """What can be set; `load` makes one from the environment and the flags."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one")
    chrome: OptionalPath = Field(
        None, description="path of the Chrome to use; by default the first that is found"
    )
    templates: Path = Field(
        default_factory=default_templates, description="folder that holds the template folders"
    )
    work_dir: Path = Field(
        default_factory=default_work_dir,
        description="folder for what Chromes write; each lease has one of its own in it; where"
        " Chrome is another user, that one may pass through it",
    )
    concurrency: int = Field(
        default_factory=processors,
        ge=1,
        le=256,
        description="renders that run at once; by default one per processor that this service may"
        " use, by its affinity and its control group",
    )
    queue: int = Field(
        32, ge=0, le=10_000, description="renders that may wait; further ones are told 503 at once"
    )
    ready: int = Field(1, ge=1, le=64, description="Chromes kept started ahead")
    ready_max: int = Field(
        2,
        ge=1,
        le=64,
        description="Chromes kept started ahead when many renders come; never fewer than"
        " POSTER_READY",
    )
    renders_per_chrome: int = Field(
        1,
        ge=1,
        le=10_000,
        description="renders that one Chrome serves, each in a browser context of its own, its"
        " renderer process seen gone before the next; 1, a fresh Chrome for each, is the safest,"
        " 50 takes less CPU",
    )
    fonts: Annotated[tuple[Path, ...], BeforeValidator(_split)] = Field(
        (),
        description="folders with fonts beside the system's, their subfolders included, e.g."
        " /fonts,/srv/brand; Chrome's user must be able to read them",
    )
    language: Annotated[str, AfterValidator(_language)] | None = Field(
        None,
        description="whose forms Han characters have in text that declares no language, or another:"
        " zh-CN, zh-TW, zh-HK, ja or ko; by default that of LC_ALL, LC_CTYPE or LANG where it is"
        " one of them, else zh-CN",
    )
    webgl: bool = Field(
        False,
        description="whether pages have WebGL, painted by the CPU (SwiftShader); every Chrome takes"
        " more CPU then",
    )
    sandbox: Literal["auto", "require", "off"] = Field(
        "auto",
        description="Chrome's own sandbox: auto uses it where it works (not where Chrome is root),"
        " require refuses to start without it",
    )
    chrome_user: Annotated[str, AfterValidator(_user)] = Field(
        "auto",
        description="whom Chrome runs as where the service is root: auto is uid and gid 65530,"
        " which nobody has, and root where that cannot be; a name, uid or uid:gid refuses to start"
        " where it cannot be; same leaves Chrome the service's user",
    )
    timeout_ms: int = Field(
        15_000,
        ge=100,
        le=600_000,
        description="time for one render, in ms, when the caller is silent",
    )
    max_timeout_ms: int = Field(
        60_000, ge=100, le=600_000, description="the most a caller may ask for, in ms"
    )
    start_timeout_ms: int = Field(
        15_000, ge=1_000, le=120_000, description="time for one Chrome to become ready, in ms"
    )
    stop_grace_seconds: float = Field(
        5.0,
        ge=0,
        le=600,
        description="time for running renders to finish after SIGTERM, in seconds; Docker sends"
        " SIGKILL after 10, and ending the Chromes takes up to 2 more, what is left after that 2",
    )
    probe_seconds: float = Field(
        30.0, ge=1, le=3600, description="an idle service proves itself by a render this often"
    )
    chrome_memory_mb: int | None = Field(
        None,
        ge=64,
        le=1 << 20,
        description="memory of one Chrome with all its processes, in MiB; needs a control group"
        " that this service may write to, and refuses to start without",
    )
    chrome_pids: int | None = Field(
        None,
        ge=40,
        le=1 << 20,
        description="processes and threads of one Chrome; needs the same (a render uses up to 60)",
    )
    watchdog_seconds: float = Field(
        5.0,
        ge=0.1,
        le=3600,
        description="seconds for which the event loop may be stuck before the log tells",
    )
    wedged_seconds: float = Field(
        60.0,
        ge=0.2,
        le=86_400,
        description="seconds after which a loop that stays stuck ends the service with status 70",
    )
    tokens: Annotated[tuple[Token, ...], BeforeValidator(_tokens)] = Field(
        (),
        description="bearer tokens of callers, name=token,name2=token2, each of 16 characters or"
        " more, or sha256: and its digest; with any, all but /, /healthz and /readyz needs one",
    )
    tokens_file: OptionalPath = Field(
        None,
        description="file of more tokens, a line of 'name token' each; looked at once a second, so"
        " that they rotate without a restart",
    )
    allow_unauthenticated: bool = Field(
        False,
        description="listen to others than this machine without any token; for a network in which"
        " everybody may render",
    )
    open_metrics: bool = Field(
        False, description="/metrics and /status without a token, where tokens are set"
    )
    token_rate: Annotated[float, Field(gt=0, le=1_000_000)] | None = Field(
        None, description="renders a minute for each token; more are told 429"
    )
    token_burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None,
        description="renders that a token may have saved up; by default ten seconds' worth of its"
        " rate, at least 1",
    )
    token_concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="renders at once, waiting ones too, for each token; more are told 429"
    )
    signing_keys: Annotated[tuple[SigningKey, ...], BeforeValidator(_signing_keys)] = Field(
        (),
        description="keys that sign addresses of GET /render/{template}, name=key,name2=key2; the"
        " first is the one that `sign` takes; without any there is no such address",
    )
    signing_keys_file: OptionalPath = Field(
        None, description="file of more signing keys, in the form of the tokens' file"
    )
    signed_max_seconds: int = Field(
        604_800,
        ge=1,
        le=315_360_000,
        description="seconds from now that the expiry of a signed address may be away; a week,"
        " because an address that got out cannot be taken back but with its key",
    )
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)
    ] = Field(
        (),
        description="origins whose pages may call and read the answers, e.g."
        " https://app.example.com,http://localhost:3000; none by default",
    )
    max_body_bytes: int = Field(
        16 << 20, ge=1024, le=1 << 30, description="largest request body, in bytes"
    )
    body_timeout_ms: int = Field(
        30_000,
        ge=100,
        le=3_600_000,
        description="time for a caller to send a whole request body, in ms; no slot is held"
        " meanwhile",
    )
    send_timeout_ms: int = Field(
        60_000,
        ge=100,
        le=3_600_000,
        description="time for a caller to take a whole answer, in ms; then the connection is cut,"
        " because its picture fills memory (no slot is held)",
    )
    max_header_bytes: int = Field(
        16 << 10,
        ge=1024,
        le=1 << 20,
        description="largest head of a request, in bytes: address, headers and cookies together",
    )
    max_connections: int = Field(
        512,
        ge=1,
        le=100_000,
        description="connections open at a time, each a descriptor; further ones are told 503",
    )
    max_peer_connections: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None,
        description="connections of one address (of one /64 network with IPv6); further ones take"
        " the place of its own idle ones, or are refused with 503; by default half of"
        " POSTER_MAX_CONNECTIONS; see POSTER_TRUSTED_PEERS for a proxy",
    )
    trusted_peers: Annotated[tuple[Network, ...], BeforeValidator(_split)] = Field(
        (),
        description="networks whose addresses POSTER_MAX_PEER_CONNECTIONS does not bound: those of"
        " a proxy or load balancer in front, from which everybody's connections come, e.g."
        " 10.0.0.0/8",
    )
    head_timeout_ms: int = Field(
        10_000,
        ge=100,
        le=3_600_000,
        description="time from the first byte of a request to the end of its head, in ms; then the"
        " connection is closed",
    )
    hosts: Hosts = Field(
        (),
        description="host names by which callers may address this service in the Host header,"
        " e.g. posters.example.com, *.internal; by default any, but on loopback without tokens only"
        " localhost and loopback addresses, because of DNS rebinding",
    )
    buffer_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] | None = Field(
        None,
        description="memory for request bodies that are read and for pictures that are made and"
        " sent, of all requests together, in bytes; further bodies are refused with 503; by default"
        " the larger of 256 MiB and four times POSTER_MAX_BODY_BYTES",
    )
    keepalive_seconds: float = Field(
        75.0,
        ge=0.1,
        le=86_400,
        description="seconds after which a connection is closed on which no request, or no whole"
        " head of one, has come; more than the idle time of a load balancer in front",
    )
    max_json_depth: int = Field(
        32, ge=2, le=500, description="deepest nesting of objects and lists in JSON"
    )
    max_json_items: int = Field(
        20_000,
        ge=10,
        le=10_000_000,
        description="most values in JSON, in lists and objects together; each takes 50 to 100"
        " times its bytes in memory",
    )
    max_form_parts: int = Field(
        200, ge=1, le=10_000, description="most parts of a form: the page, its files and options"
    )
    max_form_header_bytes: int = Field(
        4096,
        ge=256,
        le=1 << 16,
        description="longest header of a part of a form, in bytes; a part has 8 of them at most",
    )
    max_pixels: int = Field(
        50_000_000,
        ge=64,
        le=268_435_456,
        description="largest picture, in device pixels (width x height x scale squared)",
    )
    network: Literal["public", "allowlist", "none"] = Field(
        "public",
        description="what pages may fetch: from public addresses, from the public addresses of"
        " POSTER_ALLOW_HOSTS only, or nothing",
    )
    allow_hosts: Hosts = Field(
        (),
        description="with POSTER_NETWORK=allowlist: hosts that pages may fetch from,"
        " e.g. cdn.example.com, *.example.com (all below it, not itself)",
    )
    deny_hosts: Hosts = Field(
        (), description="hosts that pages may not fetch from, whatever else is allowed"
    )
    allow_private: Annotated[tuple[Network, ...], BeforeValidator(_split)] = Field(
        (),
        description="non-public networks that pages may fetch from all the same, e.g. 10.1.0.0/16",
    )
    fetch_timeout_ms: int = Field(
        5_000,
        ge=50,
        le=600_000,
        description="time for one thing a page fetches, in ms; then the page goes on without it",
    )
    fetch_max_bytes: int = Field(
        16 << 20, ge=1024, le=1 << 30, description="largest thing a page may fetch, in bytes"
    )
    fetch_total_bytes: int = Field(
        64 << 20, ge=1024, le=1 << 32, description="all that one page may fetch, in bytes"
    )
    fetch_connections: int = Field(
        96,
        ge=4,
        le=16_384,
        description="connections to servers that pages fetch from, of all pages together; three"
        " quarters of them for one caller, half for one host; a fetch waits for its turn, and its"
        " time begins after that; twice as many descriptors are set aside, for a name may have"
        " several addresses",
    )
    max_requests: int = Field(
        1_000, ge=0, le=1_000_000, description="things that one page may ask the network for"
    )
    max_redirects: int = Field(
        10, ge=0, le=20, description="redirects that one thing may take (Chrome's own bound is 20)"
    )
    max_messages: int = Field(
        20_000,
        ge=1_000,
        le=10_000_000,
        description="messages that Chrome may send about one page (requests, dialogs, frames,"
        " windows); a page that keeps it busier has failed",
    )
    max_message_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        le=1 << 30,
        description="bytes of these messages, bodies that a page posts included",
    )
    max_data_values: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="values in a template's data, at every level together; checking takes some"
        " 20 microseconds for each",
    )
    page_memory_mb: int = Field(
        2_048,
        ge=256,
        le=1 << 20,
        description="memory of one Chrome's processes during a render, in MiB, looked at four"
        " times a second and needing no control group; a page that takes more has failed",
    )
    cache_bytes: int = Field(
        64 << 20,
        ge=0,
        le=1 << 40,
        description="memory for finished pictures that equal requests get again, in bytes; 0 keeps"
        " none and renders each request by itself",
    )
    cache_seconds: int = Field(
        3_600,
        ge=1,
        le=31_536_000,
        description="the longest that a picture is kept, in seconds, whatever its job says",
    )
    cache_shared: bool = Field(
        False,
        description="whether callers get pictures that were made for others; by default each token"
        " and each signing key has its own",
    )
    cache_redis: Annotated[str, AfterValidator(_redis)] | None = Field(
        None,
        description="a Redis in which replicas of one image find each other's pictures, as"
        " redis://[user:password@]host[:port][/database], rediss:// or unix://path; pictures are"
        " looked for in memory first, and painted where it does not answer",
    )
    asset_cache_bytes: int = Field(
        64 << 20,
        ge=0,
        le=1 << 40,
        description="memory for what pages fetched and its servers let a shared cache keep, in"
        " bytes; 0 keeps nothing",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto is text on a terminal and JSON lines elsewhere"
    )
    log_stream: Literal["stderr", "stdout"] = Field(
        "stderr",
        description="where serve logs to; with JSON on stdout all that it says there is JSON",
    )

    @classmethod
    def load(cls, environ: Mapping[str, str], flags: Mapping[str, str | None]) -> "Settings":
        """Read all settings; a flag that is None was not given.

        Raises:
            InvalidSettings: Naming every faulty variable or flag, the value seen, and the form.
        """
        environ = {name: value for name, value in environ.items() if not is_link(name, value)}
        given, sources = gather(environ, flags)
        unknown = sorted(
            name
            for name in environ
            if name.startswith(PREFIX)
            and not name.startswith(OTHERS)
            and name not in map(variable_of, cls.model_fields)
        )
        faults = [f"{name}: no such setting" for name in unknown]
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            faults += [_fault(entry, sources) for entry in error.errors()]
            faulty = {entry["loc"][0] for entry in error.errors()}
            right = {name: value for name, value in given.items() if name not in faulty}
            faults += cls.model_validate(right).conflicts()
        else:
            faults += settings.conflicts()
            if not faults:
                return settings
        raise InvalidSettings("faulty settings:\n  " + "\n  ".join(faults))

    @property
    def chromes(self) -> int:
        """Chromes that there are at most, those that are being ended too."""
        return self.concurrency + max(self.ready, self.ready_max)

    @property
    def buffer_limit(self) -> int:
        """Bytes of everything in transit."""
        return self.buffer_bytes or max(256 << 20, 4 * self.max_body_bytes)

    @property
    def peer_connections(self) -> int:
        """Connections of one address."""
        return self.max_peer_connections or max(1, self.max_connections // 2)

    def conflicts(self) -> list[str]:
        """What is wrong between settings that are each right on their own."""
        found = []
        if self.watchdog_seconds >= self.wedged_seconds:
            found.append(
                f"POSTER_WATCHDOG_SECONDS={self.watchdog_seconds:g}: must be less than"
                f" POSTER_WEDGED_SECONDS={self.wedged_seconds:g}"
            )
        if self.network == "allowlist" and not self.allow_hosts:
            found.append("POSTER_NETWORK=allowlist: POSTER_ALLOW_HOSTS must name at least one host")
        if self.allow_hosts and self.network != "allowlist":
            found.append(
                f"POSTER_ALLOW_HOSTS={','.join(self.allow_hosts)}: means nothing unless"
                f" POSTER_NETWORK=allowlist; it is {self.network}"
            )
        if self.timeout_ms > self.max_timeout_ms:
            found.append(
                f"POSTER_TIMEOUT_MS={self.timeout_ms}: must not exceed"
                f" POSTER_MAX_TIMEOUT_MS={self.max_timeout_ms}"
            )
        if self.buffer_limit < 4 * self.max_body_bytes:
            found.append(
                f"POSTER_BUFFER_BYTES={self.buffer_bytes}: must be at least four times"
                f" POSTER_MAX_BODY_BYTES={self.max_body_bytes}, or such a body never finds room"
            )
        if self.token_burst is not None and self.token_rate is None:
            found.append(
                f"POSTER_TOKEN_BURST={self.token_burst}: means nothing without POSTER_TOKEN_RATE"
            )
        return found


def is_link(name: str, value: str) -> bool:
    """Whether Kubernetes made a variable for a Service that happens to be called `poster...`.

    `POSTER_PORT=tcp://10.0.0.7:80` is one; see "enableServiceLinks" in its documentation.
    """
    return bool(_LINK_VALUE.match(value) or _LINK_NAME.search(name))


_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
_LINK_NAME = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)\Z|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?\Z")


def gather(
    environ: Mapping[str, str], flags: Mapping[str, str | None]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values given, and for each the name under which its owner knows it."""
    given: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in Settings.model_fields:
        if flags.get(name) is not None:
            given[name], sources[name] = flags[name], flag_of(name)
        elif variable_of(name) in environ:
            given[name], sources[name] = environ[variable_of(name)], variable_of(name)
    return given, sources


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def flag_of(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


def describe(name: str, field: FieldInfo) -> str:
    """One line for `--help`: meaning, unit, range, default, variable."""
    if field.default_factory is not None:
        default = field.get_default(call_default_factory=True, validated_data={})
    else:
        default = field.default
    shown = ", ".join(map(str, default)) if isinstance(default, tuple) else default
    text = f"{field.description} [{variable_of(name)}; default: {shown if shown else 'none'}]"
    return text.replace("%", "%%")


def _fault(entry: Any, sources: Mapping[str, str]) -> str:
    name = str(entry["loc"][0])
    seen = "(not shown)" if name in SECRETS else repr(entry["input"])
    message = entry["msg"].removeprefix("Value error, ")
    message = message if entry["type"] == "value_error" else message.lower()
    return f"{sources.get(name, name)}={seen}: {message}"
