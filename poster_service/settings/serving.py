"""Settings of what callers meet: addresses, tokens, requests, connections; and of operation."""

from typing import Literal

from pydantic import BaseModel

from poster_service.early_settings import MOST_STOP_GRACE_SECONDS, STOP_GRACE_SECONDS
from poster_service.settings.fields import in_group
from poster_service.settings.types import (
    CompatibleApis,
    Hosts,
    Networks,
    OptionalPath,
    Origins,
    RedisUrl,
    SigningKeys,
    Tokens,
)

listening = in_group("Listening")
callers = in_group("Callers and their limits")
requests = in_group("Requests and connections")
operation = in_group("Operation and logs")


class Listening(BaseModel):
    """Where the service listens and who may address it."""

    host: str = listening(
        "127.0.0.1",
        description="Address to listen on. The default is reachable from this machine only; other"
        " addresses need POSTER_TOKENS or POSTER_ALLOW_UNAUTHENTICATED.",
    )
    port: int = listening(8080, ge=0, le=65535, description="TCP port to listen on; 0 takes a free"
        " port, which the first line of output names.")  # fmt: skip
    server_names: Hosts = listening(
        (),
        description="Host names that a request's Host header may have, e.g. posters.example.com,"
        " *.internal; a request for another name gets 421. By default any name, but on loopback"
        " without tokens only localhost and loopback addresses, against DNS rebinding.",
    )
    cors_origins: Origins = listening(
        (),
        description="Origins whose web pages may call the service and read its responses, e.g."
        " https://app.example.com,http://localhost:3000; none by default.",
    )
    get_render: bool = listening(
        False,
        description="Answer GET /render?url=..., ?html=... and ?template=... to callers with a"
        " token, or to every caller where there is none, but not to web pages of other origins."
        " Signed URLs need no such permission.",
    )

    compat: CompatibleApis = listening(
        (),
        description="APIs of other services to serve beside this one's own, so that their clients"
        " work unchanged: gotenberg, browserless, cloudflare; none by default.",
    )


class Callers(BaseModel):
    """Who may call, and how much each caller may use."""

    tokens: Tokens = callers(
        (),
        description="Bearer tokens of callers: name=token,name2=token2, each of at least 16"
        " characters, or sha256: and the digest of the token. With any token set, every address"
        " except /, /healthz and /readyz needs one.",
    )
    tokens_file: OptionalPath = callers(
        None,
        description="File of more tokens, one 'name token' per line; read again within a second of"
        " a change, so that tokens rotate without a restart.",
    )
    allow_unauthenticated: bool = callers(
        False,
        description="Listen on addresses other than loopback without any token, for a network in"
        " which all callers may render. Without it such a start is refused.",
    )
    metrics_unauthenticated: bool = callers(
        False, description="Serve /metrics and /status without a token even where tokens are set."
    )
    token_renders_per_minute: float | None = callers(
        None,
        gt=0,
        le=1_000_000,
        description="Renders per minute for each token; further ones get 429 with Retry-After. No"
        " limit by default. Replicas with the same POSTER_REDIS_URL count together.",
    )
    token_burst: int | None = callers(
        None,
        ge=1,
        le=1_000_000,
        description="Renders that a token may save up while it is idle and then spend at once; by"
        " default ten seconds' worth of POSTER_TOKEN_RENDERS_PER_MINUTE, at least 1.",
    )
    token_concurrency: int | None = callers(
        None,
        ge=1,
        le=10_000,
        description="Renders at once for each token and replica, queued ones included; further ones"
        " get 429. No limit by default.",
    )
    signing_keys: SigningKeys = callers(
        (),
        description="Keys that sign URLs of GET /render/{template}: name=key,name2=key2; the"
        " `sign` command uses the first. Without any key signed URLs are not served.",
    )
    signing_keys_file: OptionalPath = callers(
        None,
        description="File of more signing keys, in the form of POSTER_TOKENS_FILE and read again"
        " in the same way.",
    )
    signed_url_max_seconds: int = callers(
        604_800,
        ge=1,
        le=315_360_000,
        description="Longest time from now to the expiry of a signed URL, in seconds; a URL that"
        " expires later gets 403. A week by default, because a URL that got out is revoked only by"
        " removing its signing key.",
    )


class Requests(BaseModel):
    """How large, how many and how slow requests may be."""

    max_body_bytes: int = requests(
        16 << 20,
        ge=1024,
        le=1 << 30,
        description="Largest request body, in bytes; a larger one gets 413.",
    )
    body_timeout_ms: int = requests(
        30_000,
        ge=100,
        le=3_600_000,
        description="Time for a caller to send a whole request body, in ms; then the request gets"
        " 408. No render slot is held meanwhile.",
    )
    send_timeout_ms: int = requests(
        60_000,
        ge=100,
        le=3_600_000,
        description="Time for a caller to read a whole response, in ms; then the connection is"
        " closed, because the picture occupies memory. No render slot is held meanwhile.",
    )
    max_header_bytes: int = requests(
        16 << 10,
        ge=1024,
        le=1 << 20,
        description="Largest head of a request, in bytes: URL, headers and cookies together; a"
        " larger one gets 431.",
    )
    max_connections: int = requests(
        512,
        ge=1,
        le=100_000,
        description="Open connections, each a file descriptor; further ones replace idle ones or"
        " get 503.",
    )
    max_peer_connections: int | None = requests(
        None,
        ge=1,
        le=100_000,
        description="Open connections of one client address (of one /64 network with IPv6);"
        " further ones replace the client's own idle ones or get 503. By default half of"
        " POSTER_MAX_CONNECTIONS; see POSTER_TRUSTED_PEERS for a proxy.",
    )
    trusted_peers: Networks = requests(
        (),
        description="Networks to which POSTER_MAX_PEER_CONNECTIONS does not apply: those of a proxy"
        " or load balancer in front, from which all connections come, e.g. 10.0.0.0/8.",
    )
    head_timeout_ms: int = requests(
        10_000,
        ge=100,
        le=3_600_000,
        description="Time from the first byte of a request to the end of its head, in ms; then the"
        " connection is closed.",
    )
    keepalive_seconds: float = requests(
        75.0,
        ge=0.1,
        le=86_400,
        description="Time after which an idle connection is closed, in seconds. Keep it above the"
        " idle time of a load balancer in front (60 s as a rule), which else sends requests into a"
        " connection that is being closed.",
    )
    buffer_bytes: int | None = requests(
        None,
        ge=1 << 20,
        le=1 << 40,
        description="Memory for request bodies and pictures in transit, of all requests together,"
        " in bytes; further bodies get 503. By default the larger of 256 MiB and four times"
        " POSTER_MAX_BODY_BYTES.",
    )
    max_json_depth: int = requests(
        32,
        ge=2,
        le=500,
        description="Deepest nesting of objects and lists in JSON; deeper JSON gets 400.",
    )
    max_json_items: int = requests(
        20_000,
        ge=10,
        le=10_000_000,
        description="Most values in JSON, in lists and objects together; more get 400, because a"
        " value takes 50 to 100 times its bytes in memory.",
    )
    max_form_parts: int = requests(
        200,
        ge=1,
        le=10_000,
        description="Most parts of a form (page, files, options); more get 400.",
    )
    max_form_header_bytes: int = requests(
        4096,
        ge=256,
        le=1 << 16,
        description="Longest header of a part of a form, in bytes; a longer one gets 400. A part"
        " may have 8 headers.",
    )


class Operation(BaseModel):
    """How the service proves itself, ends, logs, and what replicas share."""

    redis_url: RedisUrl | None = operation(
        None,
        description="Redis that replicas of one image share, for finished pictures and for"
        " POSTER_TOKEN_RENDERS_PER_MINUTE: redis://[user:password@]host[:port][/database],"
        " rediss:// or unix://path. While it does not answer, each replica works by itself.",
    )
    stop_grace_seconds: float = operation(
        STOP_GRACE_SECONDS,
        ge=0,
        le=MOST_STOP_GRACE_SECONDS,
        description="Time for running renders to finish after SIGTERM, in seconds; then they are"
        " cut off. The default fits the 10 s after which Docker sends SIGKILL: ending the Chromes"
        " takes up to 2 s more, and removing what is left another 2.",
    )
    probe_seconds: float = operation(
        30.0,
        ge=1,
        le=3600,
        description="Seconds without a successful render after which the service renders a small"
        " page of its own as a probe; /readyz says 503 after twice that time without a success.",
    )
    stall_warn_seconds: float = operation(
        5.0,
        ge=0.1,
        le=3600,
        description="Seconds for which the event loop may be blocked before a warning with its"
        " stack is logged.",
    )
    stall_exit_seconds: float = operation(
        60.0,
        ge=0.2,
        le=86_400,
        description="Seconds for which the event loop may be blocked before the service exits with"
        " status 70, so that its supervisor restarts it.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = operation(
        "info", description="Lowest level of log lines that are written."
    )
    log_format: Literal["auto", "text", "json"] = operation(
        "auto", description="Format of log lines; auto is text on a terminal and JSON elsewhere."
    )
    log_stream: Literal["stderr", "stdout"] = operation(
        "stderr",
        description="Stream that the serve command logs to; with JSON on stdout, everything that"
        " it prints there is JSON.",
    )
