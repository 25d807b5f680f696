"""`Settings`: frozen, read once, checked as a whole before anything starts."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from poster_service.errors import InvalidSettings
from poster_service.settings.jobs import Jobs
from poster_service.settings.names import PREFIX, SECRETS
from poster_service.settings.reading import gather, note_former_levels
from poster_service.settings.rendering import Caching, Chrome, Fetching, Rendering
from poster_service.settings.serving import Callers, Listening, Operation, Requests
from poster_service.settings.storing import Storing
from poster_service.settings.webhooks import Notifying


# pydantic lists the fields of the last base first: Listening opens --help and the docs' table.
class Settings(
    Operation,
    Notifying,
    Jobs,
    Storing,
    Caching,
    Fetching,
    Chrome,
    Rendering,
    Requests,
    Callers,
    Listening,
    BaseSettings,
):
    """Everything that can be set.

    `load` reads the environment and the flags; `Settings(...)` reads neither and takes what it is
    given, for tests and tools.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        # Lists are comma-separated, not JSON.
        enable_decoding=False,
    )

    _warnings: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but the arguments: `load` has read the environment that it was given."""
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str], flags: Mapping[str, str | None]) -> Self:
        """Read all settings; a flag that is None was not given.

        Raises:
            InvalidSettings: Names every faulty variable or flag, the value seen, and what is
                allowed.
        """
        given = gather(cls, environ, flags)
        note_former_levels(given)
        faults = given.faults
        try:
            settings = cls(**given.values)
        except ValidationError as error:
            faults += [_fault(entry, given.sources) for entry in error.errors()]
            faulty = {entry["loc"][0] for entry in error.errors()}
            valid = {name: value for name, value in given.values.items() if name not in faulty}
            faults += cls(**valid).conflicts()
        else:
            faults += settings.conflicts()
            if not faults:
                settings._warnings = tuple(given.warnings)
                return settings
        raise InvalidSettings("invalid settings:\n  " + "\n  ".join(faults))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each setting that was given under its former name; to be logged once."""
        return self._warnings

    @property
    def max_chromes(self) -> int:
        """Most Chromes at a time, those that are ending included."""
        return self.concurrency + max(self.ready_chromes, self.max_ready_chromes)

    @property
    def buffer_limit(self) -> int:
        """Most bytes of request bodies and pictures in transit."""
        return self.buffer_bytes or max(256 << 20, 4 * self.max_body_bytes)

    @property
    def peer_connections(self) -> int:
        """Most connections of one client address."""
        return self.max_peer_connections or max(1, self.max_connections // 2)

    @property
    def jobs_at_once(self) -> int:
        """Most jobs that run at once in this process."""
        return self.concurrency if self.jobs_concurrency is None else self.jobs_concurrency

    def conflicts(self) -> list[str]:
        """A fault for each pair of settings that are valid on their own and not together."""
        checks = (
            (
                self.stall_warn_seconds >= self.stall_exit_seconds,
                f"POSTER_STALL_WARN_SECONDS={self.stall_warn_seconds:g}: must be less than"
                f" POSTER_STALL_EXIT_SECONDS={self.stall_exit_seconds:g}",
            ),
            (
                self.network == "allowlist" and not self.allow_hosts,
                "POSTER_NETWORK=allowlist: POSTER_ALLOW_HOSTS must name at least one host",
            ),
            (
                self.network != "allowlist" and bool(self.allow_hosts),
                f"POSTER_ALLOW_HOSTS={','.join(self.allow_hosts)}: has no effect unless"
                f" POSTER_NETWORK=allowlist; it is {self.network}",
            ),
            (
                self.timeout_ms > self.max_timeout_ms,
                f"POSTER_TIMEOUT_MS={self.timeout_ms}: must not exceed"
                f" POSTER_MAX_TIMEOUT_MS={self.max_timeout_ms}",
            ),
            (
                self.buffer_limit < 4 * self.max_body_bytes,
                f"POSTER_BUFFER_BYTES={self.buffer_bytes}: must be at least four times"
                f" POSTER_MAX_BODY_BYTES={self.max_body_bytes}, or the largest body never fits",
            ),
            (
                self.token_burst is not None and self.token_renders_per_minute is None,
                f"POSTER_TOKEN_BURST={self.token_burst}: has no effect without"
                " POSTER_TOKEN_RENDERS_PER_MINUTE",
            ),
            *self._job_conflicts(),
        )
        return [fault for is_fault, fault in checks if is_fault]

    def _job_conflicts(self) -> tuple[tuple[bool, str], ...]:
        return (
            (
                self.jobs_redis is not None and self.jobs_redis == self.redis_url,
                "POSTER_JOBS_REDIS=(not shown): must not be the database of POSTER_REDIS_URL, whose"
                " Redis may evict what it has",
            ),
            (
                self.jobs_redis is not None and (self.storage or "memory:").startswith("memory:"),
                "POSTER_JOBS_REDIS=(not shown): POSTER_STORAGE must be a bucket or a folder in"
                " which all workers store and all services find results",
            ),
            (
                self.jobs_redis is None and self.jobs_concurrency == 0,
                "POSTER_JOBS_CONCURRENCY=0: must be at least 1 without POSTER_JOBS_REDIS, or no job"
                " would ever run",
            ),
        )


def _fault(entry: Any, sources: Mapping[str, str]) -> str:
    """One of pydantic's errors as `NAME=value: what is allowed`."""
    name = str(entry["loc"][0])
    seen = "(not shown)" if name in SECRETS else repr(entry["input"])
    message = entry["msg"].removeprefix("Value error, ")
    message = message if entry["type"] == "value_error" else message.lower()
    return f"{sources.get(name, name)}={seen}: {message}"
