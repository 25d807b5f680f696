"""How long a signed URL may be: what servers, proxies and clients on its way accept.

RFC 9110 (4.1) asks all of them for at least 8,000 octets; many clients, mail programs and chat
services stop earlier, some at 2,000.
"""

from collections.abc import Iterator, Mapping

from poster_service.errors import OperatorError

#: Characters above which there is a warning, and above which the URL is refused by default.
LONG, LONGEST = 2_000, 8_000


def check_length(address: str, data: object, most: int, max_header_bytes: int) -> str:
    """A warning about a long URL, in one line; empty if it is not long.

    Args:
        address: As it would be printed.
        data: The template's data in it; the message names its largest value.
        most: Characters that it may have at most.
        max_header_bytes: What the service accepts of URL, headers and cookies together.

    Raises:
        OperatorError: It is longer. Has its length, the bound and the remedy.
    """
    size, largest = len(address), _largest(data)
    if size <= min(LONG, most, max_header_bytes):
        return ""
    if size > min(most, max_header_bytes):
        bound = (
            f"the {most:,} of --max-length: servers and proxies on the way may refuse it"
            if most <= max_header_bytes
            else f"POSTER_MAX_HEADER_BYTES={max_header_bytes}: the service would refuse it"
        )
        raise OperatorError(
            f"the URL would have {size:,} characters, more than {bound}.{largest} Name pictures"
            " by https: URLs instead of data: ones, shorten the data, or send it with POST"
            " /render"
        )
    return (
        f"the URL has {size:,} characters, and some clients and proxies accept no more than"
        f" {LONG:,}.{largest}"
    )


def _largest(data: object) -> str:
    """The value that makes the URL long, as a sentence; empty where none stands out."""
    path, size = max(_sizes(data), key=lambda one: one[1], default=("", 0))
    return f" {path} alone has {size:,}." if size > LONG // 4 else ""


def _sizes(data: object) -> Iterator[tuple[str, int]]:
    """The path and the length of each text in the data."""
    todo: list[tuple[str, object]] = [("data", data)]
    while todo:
        path, one = todo.pop()
        if isinstance(one, Mapping):
            todo += [(f"{path}.{name}"[:200], value) for name, value in one.items()]
        elif isinstance(one, list):
            todo += [(f"{path}.{number}"[:200], value) for number, value in enumerate(one)]
        elif isinstance(one, str):
            yield path, len(one)
