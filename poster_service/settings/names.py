"""Names of settings: variables and flags, former names, and which variables are ours."""

import difflib
import re
from collections.abc import Collection, Mapping

PREFIX = "POSTER_"
#: Prefixes of variables that other parts of the project read.
FOREIGN_PREFIXES = (f"{PREFIX}INIT_", f"{PREFIX}TEST_", f"{PREFIX}LOADTEST_", f"{PREFIX}CLIENT_")
#: Never shown, and without flags: every user of a machine can read a command line.
SECRETS = frozenset({"tokens", "signing_keys", "redis_url", "jobs_redis", "webhook_secrets"})
#: Former name by which a setting is accepted until the next release: its present name.
RENAMED: Mapping[str, str] = {
    "chrome_memory_mb": "chrome_memory_mib",
    "page_memory_mb": "page_memory_mib",
    "wedged_seconds": "stall_exit_seconds",
    "watchdog_seconds": "stall_warn_seconds",
    "open_metrics": "metrics_unauthenticated",
    "token_rate": "token_renders_per_minute",
    "signed_max_seconds": "signed_url_max_seconds",
    "hosts": "server_names",
    "queue": "queue_size",
    "ready": "ready_chromes",
    "ready_max": "max_ready_chromes",
    "max_requests": "fetch_max_requests",
    "max_redirects": "fetch_max_redirects",
    "max_messages": "page_max_messages",
    "max_message_bytes": "page_max_message_bytes",
    "cache_redis": "redis_url",
}


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def flag_of(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set a variable for a Service whose name happens to begin with `poster`.

    `POSTER_PORT=tcp://10.0.0.7:80` is one; see "enableServiceLinks" in its documentation.
    """
    return bool(_LINK_VALUE.match(value) or _LINK_NAME.search(name))


_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
_LINK_NAME = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)\Z|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?\Z")


def unknown_variables(environ: Collection[str], names: Collection[str]) -> list[str]:
    """A fault for each variable that has our prefix and is not the variable of a setting.

    Args:
        environ: The variables that are set.
        names: The names of all settings.
    """
    known = {variable_of(name) for name in (*names, *RENAMED)}
    unknown = sorted(
        variable
        for variable in environ
        if variable.startswith(PREFIX)
        and not variable.startswith(FOREIGN_PREFIXES)
        and variable not in known
    )
    present = [variable_of(name) for name in names]
    return [f"{variable}: no such setting{_suggestion(variable, present)}" for variable in unknown]


def _suggestion(variable: str, known: Collection[str]) -> str:
    # Without the prefix, which makes any two variables alike.
    stems = [name.removeprefix(PREFIX) for name in known]
    close = difflib.get_close_matches(variable.upper().removeprefix(PREFIX), stems, n=1, cutoff=0.7)
    return f"; did you mean {PREFIX}{close[0]}?" if close else ""
