"""The client of Redis for all that replicas share, and how long it waits for answers.

No render depends on Redis: a command has a short time limit, and after a failure Redis is not used
for a while, so that an outage costs one wait and not one for each render.
"""

from typing import Any

#: Time limit of one command, connecting included, in seconds: less than most renders take.
COMMAND_SECONDS = 0.25
#: How long Redis is not used after a failure, in seconds.
PAUSE_SECONDS = 5.0
#: Connections at most; a command waits for a free one, within its time limit.
MAX_CONNECTIONS = 16


def client(url: str, seconds: float = COMMAND_SECONDS) -> Any:
    """A client of a Redis server (`redis.asyncio.Redis`) that has connected to nothing yet.

    It has no time limit for commands: the caller sets one, with `asyncio.timeout`. For one of its
    own redis-py sends each command by `asyncio.wait_for`, which in Python 3.11 loses a cancel that
    comes in the moment in which the command has been sent, so a task that asks Redis all the time
    could not be ended (https://github.com/python/cpython/issues/86296).

    Args:
        url: redis://, rediss:// or unix://, as redis-py takes it.
        seconds: Time limit for connecting.

    Raises:
        ValueError: The URL is invalid.
    """
    # Imported here: it costs 50 ms and some megabytes, also where no Redis is configured.
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = BlockingConnectionPool.from_url(
        url, max_connections=MAX_CONNECTIONS, timeout=None,
        socket_timeout=None, socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 1),  # a connection may have ended since its last use
        driver_info=None,  # redis-py would read its version from disk for each connection
    )  # fmt: skip
    return Redis.from_pool(pool)


def error_text(error: BaseException) -> str:
    """The text of an error of a command; a timeout has none of its own."""
    return str(error) or f"no answer in {COMMAND_SECONDS * 1000:.0f} ms"
