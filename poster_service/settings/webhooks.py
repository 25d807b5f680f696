"""Settings of webhooks: who signs, how long an attempt takes, when the next one comes."""

from pydantic import BaseModel

from poster_service.settings.fields import in_group
from poster_service.settings.types import OptionalPath, RetrySeconds, WebhookSecrets

webhooks = in_group("Webhooks")

#: The schedule of Standard Webhooks 1.0.0, in seconds: three days in total.
RETRIES = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)


class Notifying(BaseModel):
    """How jobs report their end to addresses of callers."""

    webhook_secrets: WebhookSecrets = webhooks(
        (),
        description="Secrets that sign webhooks: name=whsec_BASE64,name2=..., where name is that"
        " of a caller's token, or all for every caller without a secret of its own. Several of one"
        " name all sign, so that secrets can be rotated. A request with `webhook` is refused if"
        " its caller has no secret.",
    )
    webhook_secrets_file: OptionalPath = webhooks(
        None,
        description="File of more secrets of webhooks, in the form of POSTER_TOKENS_FILE and read"
        " again in the same way.",
    )
    webhook_timeout_ms: int = webhooks(
        20_000,
        ge=100,
        le=60_000,
        description="Time for a receiver to answer one attempt of a webhook, in ms.",
    )
    webhook_retry_seconds: RetrySeconds = webhooks(
        RETRIES,
        description="Seconds to wait before the first attempt of a webhook, then before the"
        " second, and so on, each with a random addition of up to a fifth; after the last attempt"
        " it is a dead letter.",
    )
    webhook_waiting_most: int = webhooks(
        20_000,
        ge=1,
        le=10_000_000,
        description="Messages of one caller that may wait for another attempt; further ones are"
        " dead letters at once. One takes 1 to 20 kB of the jobs' Redis.",
    )
    webhook_dead_seconds: int = webhooks(
        604_800,
        ge=60,
        le=7_776_000,
        description="How long dead letters can be replayed, in seconds.",
    )
    webhook_dead_most: int = webhooks(
        1_000,
        ge=1,
        le=100_000,
        description="Dead letters of one caller at most; the oldest go first.",
    )
