"""Refuses a render before its body is read, where it would be refused afterwards anyway."""

from aiohttp import web

from poster_service.buffers import SMALL
from poster_service.web.service import Service


def check_room(request: web.Request, service: Service, caller: str) -> None:
    """Refuse before the body is read what would be refused afterwards.

    While the queue is full, a request with a large body, or one of unknown length, is refused. A
    small body is read all the same: its picture may be cached, or being rendered for another.

    Raises:
        OverQuota: As of `Quotas.check`.
        LoadError: As of `Admission.check`.
    """
    service.quotas.check(caller, service.engine.admission.mean_seconds)
    size = request.content_length
    if service.engine.admission.is_closed or size is None or size > SMALL:
        service.engine.admission.check(caller)
