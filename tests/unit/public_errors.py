"""The error classes whose codes are part of the public interface."""

from collections.abc import Iterator

from poster_service import errors


def leaves(
    kind: type[errors.PosterError] = errors.PosterError,
) -> Iterator[type[errors.PosterError]]:
    """Every error class of the tree that has no subclass in it."""
    below = [
        one for one in kind.__subclasses__() if one.__module__.startswith(f"{errors.__name__}.")
    ]
    if not below:
        yield kind
    for one in below:
        yield from leaves(one)


LEAVES = sorted(leaves(), key=lambda kind: kind.__name__)

PUBLIC = [kind for kind in LEAVES if not issubclass(kind, errors.OperatorError)]
