"""Whether a Redis is fit for jobs: it must forget none, and be no cache."""

import asyncio
import logging
from typing import Any

from redis.exceptions import RedisError

from poster_service.errors import InvalidSettings, QueueUnavailable
from poster_service.jobs.record_store import SECONDS
from poster_service.logs import event
from poster_service.redis_client import COMMAND_SECONDS, client
from poster_service.settings import Settings

logger = logging.getLogger(__name__)


async def check_redis(jobs: Any, settings: Settings) -> None:
    """Check the Redis of the jobs; warns where it may lose jobs when it is restarted.

    Args:
        jobs: A client of it.
        settings: Which other Redis there is.

    Raises:
        InvalidSettings: It evicts keys, or it is the database of POSTER_REDIS_URL.
        QueueUnavailable: It does not answer.
    """
    try:
        async with asyncio.timeout(SECONDS):
            found = await jobs.info()
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailable("the queue of jobs does not answer") from error
    policy = str(found.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise InvalidSettings(
            f"POSTER_JOBS_REDIS=(not shown): its maxmemory-policy is {policy}, with which it loses"
            " jobs; must be noeviction"
        )
    if await _is_the_caches(jobs, found, settings):
        raise InvalidSettings(
            "POSTER_JOBS_REDIS=(not shown): must not be the database of POSTER_REDIS_URL"
        )
    if not int(found.get("aof_enabled", 0)):
        event(
            logger,
            logging.WARNING,
            "the Redis of the jobs has no append-only file: it loses jobs when it is restarted;"
            " set appendonly yes",
        )


async def _is_the_caches(jobs: Any, found: Any, settings: Settings) -> bool:
    """Whether the database is that of POSTER_REDIS_URL, by another name too."""
    if settings.redis_url is None:
        return False
    cache = client(settings.redis_url)
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            same = (await cache.info("server")).get("run_id") == found.get("run_id")
        return bool(same) and _database(cache) == _database(jobs)
    except (RedisError, OSError, TimeoutError):
        return False  # no cache can be compared that does not answer
    finally:
        await cache.aclose()


def _database(one: Any) -> int:
    return int(one.connection_pool.connection_kwargs.get("db") or 0)
