"""What is given to a render beside its body, as in the query of browserless' routes."""

from dataclasses import dataclass, field

from poster_service.web.compat.puppeteer.bodies import Viewport


@dataclass(frozen=True)
class Launch:
    """What of the launch options has a meaning here.

    Attributes:
        viewport: That of pages whose body names none.
        language: Of `--lang`.
        user_agent: Of `--user-agent`.
    """

    viewport: Viewport | None = None
    language: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True)
class Parameters:
    """What is given beside the body of one request.

    Attributes:
        timeout: Of the whole request, in milliseconds; None for the service's own.
        launch: What of the launch options has a meaning here.
        tracking_id: The caller's name for the session; "" for none.
    """

    timeout: int | None = None
    launch: Launch = field(default_factory=Launch)
    tracking_id: str = ""
