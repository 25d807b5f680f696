"""The two settings that poster-init needs, read without the others.

`serve` and `work` are replaced by init, which starts the same command again. To import the settings
and check all of them before that took half a second of CPU, and the second process has to do it
anyway. So this reads only what is on init's command line, and imports nothing of ours. It reports
no faults: the service does, and then ends.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

#: The default and the highest value of `stop_grace_seconds`.
STOP_GRACE_SECONDS = 5.0
MOST_STOP_GRACE_SECONDS = 600


def default_work_dir() -> Path:
    """Short, because full Chrome dies at start when its TMPDIR has 70 characters or more."""
    import tempfile  # with random and hashlib, a third of what this process costs

    return Path(tempfile.gettempdir()) / f"poster-{os.getuid()}"


def stop_grace_seconds(given: Sequence[str], environ: Mapping[str, str]) -> float:
    """The setting of that name; its default where the value is invalid.

    Args:
        given: The command line.
        environ: The environment variables.
    """
    text = _value_of("stop_grace_seconds", given, environ)
    try:
        seconds = STOP_GRACE_SECONDS if text is None else float(text)
    except ValueError:
        return STOP_GRACE_SECONDS
    return seconds if 0 <= seconds <= MOST_STOP_GRACE_SECONDS else STOP_GRACE_SECONDS


def work_dir(given: Sequence[str], environ: Mapping[str, str]) -> Path:
    """The setting of that name.

    Args:
        given: The command line.
        environ: The environment variables.
    """
    text = _value_of("work_dir", given, environ)
    return default_work_dir() if text is None else Path(text)


def _value_of(name: str, given: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """What a setting is given: the last flag wins, then the variable; None for neither.

    A flag may be shortened, as argparse allows. Where another begins so too, the command fails.
    """
    value = environ.get("POSTER_" + name.upper())
    flag = "--" + name.replace("_", "-")
    for place, word in enumerate(given):
        spelled, equals, rest = word.partition("=")
        if spelled in ("", "-", "--") or not flag.startswith(spelled):
            continue
        if equals:
            value = rest
        elif place + 1 < len(given):
            value = given[place + 1]
    return value
