"""The HTTP service: an engine, and what only HTTP needs: tokens, quotas, connections."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from poster_service import credentials
from poster_service.credentials import SigningKey, Token, WebhookSecret
from poster_service.engine import Engine, Observers, policy_of
from poster_service.jobs.batches import Batches
from poster_service.jobs.delivery import Deliverer
from poster_service.jobs.destination import Sender
from poster_service.jobs.events import Subscribers
from poster_service.jobs.runner import Workshop
from poster_service.jobs.service import Jobs
from poster_service.jobs.storage import Storage, memory_storage, storage_of
from poster_service.jobs.webhooks import Webhooks, webhooks_of
from poster_service.render.markup import Templates
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
        tokens: Who may render; without tokens, every caller.
        keys: The keys that sign addresses.
        storage: Where results of requests with `store` are stored; None without one.
        results: Where results of jobs are stored: the same, or else the memory of this process.
        sender: Sends results to addresses of callers.
        deliverer: Stores and sends results.
        jobs: Renders that outlive the request for them.
        batches: Many of them at once.
        webhooks: Report what has become of jobs.
        webhook_secrets: The secrets that sign what these send.
        answers: Requests whose answer has not been sent to its end.
    """

    engine: Engine
    counters: Counters
    connections: Connections
    tokens: CredentialFile[Token]
    keys: CredentialFile[SigningKey]
    quotas: Quotas
    storage: Storage | None
    results: Storage
    sender: Sender
    deliverer: Deliverer
    jobs: Jobs
    batches: Batches
    webhooks: Webhooks
    webhook_secrets: CredentialFile[WebhookSecret]
    answers: InFlight = field(default_factory=InFlight)
    _tasks: "list[asyncio.Task[Any]]" = field(default_factory=list)

    @classmethod
    def build(cls, settings: Settings, templates: Templates | None = None) -> "Service":
        """Build every part; starts nothing.

        Args:
            settings: All of them.
            templates: Those of `settings.templates`, where they have been read; None to read them.

        Raises:
            OperatorError: As `Engine`, or the file of tokens or keys is faulty.
        """
        tokens = CredentialFile(
            settings.tokens, settings.tokens_file, credentials.token, "POSTER_TOKENS_FILE"
        )
        tokens.load()
        keys = keys_of(settings)
        counters = Counters()
        observers = Observers(counters.render_done, counters.chrome_ended)
        engine = Engine(settings, observers, templates)
        storage = storage_of(settings)
        results = storage or memory_storage(settings)
        sender = Sender(policy_of(settings), settings.storage_timeout_ms / 1000)
        webhook_secrets = webhook_secrets_of(settings)
        webhooks = webhooks_of(engine, results, lambda: webhook_secrets.entries, counters.registry)
        deliverer, subscribers = Deliverer(sender, counters.delivery), Subscribers([webhooks])
        jobs = Jobs(settings, Workshop(engine, deliverer, results, subscribers), subscribers)
        batches = Batches(jobs, settings.batches_per_caller, webhooks.batch_finished)
        subscribers.subscribed.append(batches)
        return cls(
            engine,
            counters,
            Connections(
                settings.max_connections, settings.peer_connections, settings.trusted_peers
            ),
            tokens,
            keys,
            Quotas.of(settings),
            storage,
            results,
            sender,
            deliverer,
            jobs,
            batches,
            webhooks,
            webhook_secrets,
        )

    @property
    def settings(self) -> Settings:
        """The settings that it was built from."""
        return self.engine.settings

    async def start(self) -> None:
        """Start the engine, then watch the files of tokens and keys.

        Raises:
            ChromeNotStarted: As `Engine.start`; nothing is left running.
            InvalidSettings: The Redis of the jobs is not fit for them; likewise.
        """
        await self.engine.start()
        try:
            await self.jobs.start()
            await self.webhooks.start()
            if self.engine.settings.jobs_redis is not None:
                self.batches.start()
        except BaseException:
            await self.stop()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.tokens.keep_looking()),
            loop.create_task(self.keys.keep_looking()),
            loop.create_task(self.webhook_secrets.keep_looking()),
        ]
        self._tasks.append(loop.create_task(self.results.keep_sweeping()))

    async def stop(self) -> None:
        """Stop the engine; returns when nothing of its Chromes is left."""
        for task in self._tasks:
            task.cancel()
        await self.batches.stop()
        await self.jobs.stop()
        await self.webhooks.stop()
        await self.engine.stop()
        await self.quotas.close()
        await self.sender.close()


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


def webhook_secrets_of(settings: Settings) -> CredentialFile[WebhookSecret]:
    """The secrets that sign webhooks.

    Raises:
        InvalidSettings: Their file is faulty.
    """
    secrets = CredentialFile(
        settings.webhook_secrets,
        settings.webhook_secrets_file,
        credentials.webhook_secret,
        "POSTER_WEBHOOK_SECRETS_FILE",
    )
    secrets.load()
    return secrets
