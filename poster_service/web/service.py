"""The HTTP service: an engine, and what only HTTP needs: tokens, quotas, connections."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from poster_service import credentials
from poster_service.credentials import SigningKey, Token
from poster_service.engine import Engine, Observers
from poster_service.settings import Settings
from poster_service.stats import InFlight
from poster_service.web.connections import Connections
from poster_service.web.counters import Counters
from poster_service.web.credential_file import CredentialFile
from poster_service.web.quotas import Quotas


@dataclass
class Service:
    """Everything that the handlers use.

    Attributes:
        tokens: Who may render; without tokens, everybody.
        keys: The keys that sign addresses.
        answers: Requests whose answer has not been sent to its end.
    """

    engine: Engine
    counters: Counters
    connections: Connections
    tokens: CredentialFile[Token]
    keys: CredentialFile[SigningKey]
    quotas: Quotas
    answers: InFlight = field(default_factory=InFlight)
    _tasks: "list[asyncio.Task[Any]]" = field(default_factory=list)

    @classmethod
    def build(cls, settings: Settings) -> "Service":
        """Build every part; starts nothing.

        Raises:
            OperatorError: As `Engine`, or the file of tokens or keys is faulty.
        """
        tokens = CredentialFile(
            settings.tokens, settings.tokens_file, credentials.token, "POSTER_TOKENS_FILE"
        )
        tokens.load()
        keys = keys_of(settings)
        counters = Counters()
        return cls(
            Engine(settings, Observers(counters.render_done, counters.chrome_ended)),
            counters,
            Connections(
                settings.max_connections, settings.peer_connections, settings.trusted_peers
            ),
            tokens,
            keys,
            Quotas.of(settings),
        )

    @property
    def settings(self) -> Settings:
        """The settings that it was built from."""
        return self.engine.settings

    async def start(self) -> None:
        """Start the engine, then watch the files of tokens and keys.

        Raises:
            ChromeNotStarted: As `Engine.start`; nothing is left running.
        """
        await self.engine.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.tokens.keep_looking()),
            loop.create_task(self.keys.keep_looking()),
        ]

    async def stop(self) -> None:
        """Stop the engine; returns when nothing of its Chromes is left."""
        for task in self._tasks:
            task.cancel()
        await self.engine.stop()
        await self.quotas.close()


SERVICE = web.AppKey("service", Service)


def keys_of(settings: Settings) -> CredentialFile[SigningKey]:
    """The keys that sign addresses.

    Raises:
        InvalidSettings: Their file is faulty.
    """
    keys = CredentialFile(
        settings.signing_keys,
        settings.signing_keys_file,
        credentials.signing_key,
        "POSTER_SIGNING_KEYS_FILE",
    )
    keys.load()
    return keys
