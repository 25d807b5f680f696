"""Two callers of a service that asks for tokens."""

import hashlib

WEB, APP = "web-token-0123456789", "app-token-0123456789"

TOKENS = f"web={WEB},app=sha256:{hashlib.sha256(APP.encode()).hexdigest()}"


def bearer(token: str) -> dict[str, str]:
    """The Authorization header with a token."""
    return {"Authorization": f"Bearer {token}"}
