"""Signing keys and signed URLs."""

import json
import time
from typing import Any

from poster_service.credentials import SigningKey
from poster_service.settings import default_templates
from poster_service.web import signed
from tests.web.conftest import Service

KEYS = "old=0123456789abcdef,new=fedcba9876543210"
OLD, NEW = SigningKey("old", b"0123456789abcdef"), SigningKey("new", b"fedcba9876543210")

SAMPLE = json.loads((default_templates() / "article-card/sample.json").read_text("utf-8"))

#: Without the sample's avatar, an image of 2 kB, which is too long for a URL.
DATA = {**SAMPLE, "author": {"name": "Lin Wan 林晚"}}


def address(service: Service, seconds: float = 60, key: SigningKey = NEW, **options: Any) -> str:
    """A signed URL of the service, valid for `seconds` from now."""
    job = {"template": "article-card", "data": DATA, **options}
    return signed.address(key, service.address, job, int(time.time() + seconds))
