"""The isolated world of a page, in which the service's scripts find the DOM and nothing else.

A page's scripts cannot reach it or replace a function in it, so what is asked there is true.
"""

from typing import Any

from poster_service.browser.page_calls import PageCalls

#: Its name; a script that Chrome runs in each new document names it too.
NAME = "poster"


class World:
    """Evaluates scripts in the isolated world of one page's document."""

    def __init__(self, calls: PageCalls, target: str) -> None:
        """`target` is the id of the page's main frame."""
        self._calls = calls
        self._target = target
        self._context: int | None = None

    async def value(self, expression: str) -> Any:
        """What a script, or its promise, gives; None where it fails.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        if self._context is None:
            created = {"frameId": self._target, "worldName": NAME}
            answer = await self._calls.send("Page.createIsolatedWorld", created)
            self._context = answer["executionContextId"]
        answer = await self._calls.evaluate(expression, contextId=self._context)
        return None if "exceptionDetails" in answer else answer["result"].get("value")
