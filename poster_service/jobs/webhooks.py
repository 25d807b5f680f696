"""Webhooks of jobs and batches: which requests may have one, what is sent, what became of it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from poster_service.credentials import WebhookSecret, secrets_of
from poster_service.engine import Engine, policy_of
from poster_service.errors import DestinationDenied, Fault, InvalidField, UnknownDeadLetter
from poster_service.jobs.batch_records import Batch
from poster_service.jobs.delivery import AddressOf, with_addresses
from poster_service.jobs.file_webhooks import FileWebhook
from poster_service.jobs.outgoing import Outgoing
from poster_service.jobs.records import Job
from poster_service.jobs.storage import ObjectAddress, Storage
from poster_service.jobs.webhook_attempts import Attempts, Supplies, WebhookCounters
from poster_service.jobs.webhook_delivery import Deliveries, DeliveryPlan
from poster_service.jobs.webhook_message import EventType, body_of, message_id
from poster_service.jobs.webhook_options import Webhook
from poster_service.jobs.webhook_records import Bounds, Message

#: The event of each end of a job that is reported; a caller who cancels a job knows of it.
EVENTS: Mapping[str, EventType] = {"done": "render.succeeded", "failed": "render.failed"}
#: Dead letters that are listed at most.
MOST_LISTED = 1_000


class Webhooks:
    """Reports what has become of jobs and batches; one of the `Events` of jobs."""

    def __init__(
        self,
        deliveries: Deliveries,
        has_key: Callable[[str], bool],
        why_denied: Callable[[str], str | None],
        address: AddressOf,
    ) -> None:
        """Hold what it needs.

        Args:
            deliveries: Started and stopped with this.
            has_key: Whether a key is known that signs for a caller.
            why_denied: Why the network policy forbids an address, as far as that is known.
            address: Gives the address of a stored result.
        """
        self._deliveries = deliveries
        self._has_key = has_key
        self._why_denied = why_denied
        self._address = address

    async def start(self) -> None:
        """Begin to deliver what waits."""
        await self._deliveries.start()

    async def stop(self) -> None:
        """Give back what is being delivered, and disconnect."""
        await self._deliveries.stop()

    def check(self, webhook: Webhook | None, caller: str) -> None:
        """Refuse a webhook to which nothing could ever be sent.

        Raises:
            InvalidField: No secret signs for this caller, or the address is not https.
            DestinationDenied: The network policy forbids the address.
        """
        if webhook is None:
            return
        if not self._has_key(caller):
            raise InvalidField.of(
                Fault(
                    "webhook",
                    "this service has no webhook secret for this caller",
                    "nothing, or a secret in POSTER_WEBHOOK_SECRETS",
                )
            )
        self.check_address("webhook.url", webhook.url)

    def check_address(self, field: str, url: str) -> None:
        """Refuse an address as far as the network policy knows it without a lookup.

        Raises:
            InvalidField: It is plain http, and no network allows that.
            DestinationDenied: The network policy forbids it.
        """
        reason = self._why_denied(url)
        if reason == "plain http":
            raise InvalidField.of(Fault(field, "is plain http", "an https address"))
        if reason is not None:
            message = f"the network policy forbids the webhook ({reason})"
            raise DestinationDenied(message, (Fault(field, message),))

    async def job_finished(self, job: Job) -> None:
        """Report the end of a job, where it has a webhook.

        Raises:
            QueueUnavailable: Redis does not answer: call again.
        """
        if job.webhook is None:
            return
        if (files := FileWebhook.of(job.webhook)) is not None:
            for message in files.messages(job):
                await self._deliveries.publish(message)
        elif (kind := EVENTS.get(job.state)) is not None:
            await self.report(kind, job.id, await self._job_data(job), job.webhook, job.caller)

    async def batch_finished(self, batch: Batch) -> None:
        """Report the end of a batch, where it has a webhook; each time that it was begun again too.

        Raises:
            QueueUnavailable: Redis does not answer: call again.
        """
        if batch.webhook is None:
            return
        subject = f"{batch.id}/{batch.round}" if batch.round else batch.id
        url = f"{batch.webhook.get('origin', '')}/batches/{batch.id}"
        data = {
            "batch": batch.id,
            "batch_url": url,
            "items_url": f"{url}/items",
            "items": batch.total,
            "counts": {"done": batch.done, "failed": batch.failed, "cancelled": batch.cancelled},
            "round": batch.round,
        }
        await self.report("batch.finished", subject, data, batch.webhook, batch.caller)

    async def report(
        self,
        kind: EventType,
        subject: str,
        data: Mapping[str, Any],
        webhook: Mapping[str, Any],
        caller: str,
    ) -> None:
        """Report an event, once for all calls with the same kind and subject.

        Args:
            kind: Of the event.
            subject: The id of the job or batch that it is about; of a batch that was begun again
                with the number of that.
            data: What a receiver needs to know, with addresses; no pictures.
            webhook: As `document_of` gives it.
            caller: Whose it is.

        Raises:
            QueueUnavailable: Redis does not answer: call again.
        """
        if kind not in webhook["events"]:
            return
        body = body_of(kind, datetime.now(UTC), data)
        await self._deliveries.publish(
            Message(
                id=message_id(kind, subject),
                caller=caller,
                kind=kind,
                subject=subject,
                url=webhook["url"],
                headers=webhook.get("headers", {}),
                body=body,
            )
        )

    async def waiting(self, caller: str) -> int:
        """How many messages of a caller wait for an attempt.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        return await (await self._deliveries.records()).waiting(caller)

    async def dead(self, caller: str, most: int) -> list[Message]:
        """A caller's dead letters, the newest first.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        records = await self._deliveries.records()
        return await records.dead(caller, min(most, MOST_LISTED))

    async def replay(self, identity: str, caller: str) -> Message:
        """Begin again with a dead letter of a caller.

        Raises:
            UnknownDeadLetter: This caller has none of that id.
            QueueUnavailable: Redis does not answer.
        """
        records = await self._deliveries.records()
        message = await records.get(identity)
        if message is None or message.state != "dead" or message.caller != caller:
            raise UnknownDeadLetter("there is no dead letter of that id, or it has expired")
        await self._deliveries.replay(message)
        return message

    async def _job_data(self, job: Job) -> dict[str, Any]:
        assert job.webhook is not None
        origin = job.webhook.get("origin", "")
        data: dict[str, Any] = {"job": job.id, "job_url": f"{origin}/jobs/{job.id}"}
        if job.state == "failed":
            return {**data, "problem": job.problem}
        return {**data, "result": await with_addresses(job.result or {}, self._address, origin)}


def webhooks_of(
    engine: Engine,
    storage: Storage,
    secrets: Callable[[], Iterable[WebhookSecret]],
    registry: CollectorRegistry,
) -> Webhooks:
    """The webhooks of a process; connects to nothing.

    Args:
        engine: Its settings, and the memory for results that are sent.
        storage: Where results of jobs are stored.
        secrets: All secrets that are valid now.
        registry: For the counts.
    """
    settings = engine.settings
    outgoing = Outgoing(policy_of(settings), settings.webhook_timeout_ms / 1000)

    def keys_of(caller: str) -> tuple[bytes, ...]:
        return secrets_of(secrets(), caller)

    async def read(name: str) -> bytes | None:
        found = await storage.get(name)
        return None if found is None else found.body

    async def address(name: str) -> ObjectAddress:
        return await storage.address(name, None)

    plan = DeliveryPlan(
        settings.jobs_redis,
        settings.webhook_retry_seconds,
        Bounds(
            settings.webhook_waiting_most,
            settings.webhook_dead_most,
            settings.webhook_dead_seconds,
        ),
        settings.jobs_redelivery_seconds,
    )
    supplies = Supplies(outgoing, keys_of, read, engine.buffers)
    deliveries = Deliveries(plan, Attempts(supplies, WebhookCounters(registry)))
    return Webhooks(deliveries, lambda caller: bool(keys_of(caller)), outgoing.why_denied, address)


def document_of(webhook: Webhook | None, origin: str) -> dict[str, Any] | None:
    """The webhook of a job or batch as it is stored with it; None for none.

    Args:
        webhook: Of the request; it has been checked.
        origin: Of this service as the caller addressed it, for links.
    """
    return None if webhook is None else {**webhook.model_dump(mode="json"), "origin": origin}
