"""The formats of JSON Schema that are checked in a template's data (2020-12, validation, 7.3).

They are listed, because jsonschema checks a format if it finds a package that knows it: the
same data would be accepted in one environment and refused in another. Those that need a package are
checked here. A format that is not in `FORMATS` describes the data, and is not checked.
"""

import re
from datetime import datetime

from jsonschema import FormatChecker
from yarl import URL

#: Those that jsonschema checks with the standard library alone.
_PLAIN = ("date", "email", "ipv4", "ipv6", "regex", "uuid")
#: RFC 3339, 5.6; the values of its parts are checked by `datetime`.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
#: RFC 3986, 3: a scheme, and no character that must be percent-encoded.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#$&-;=?-\[\]_a-z~%]+", re.ASCII)

CHECKER = FormatChecker(formats=_PLAIN)


@CHECKER.checks("date-time")
def is_date_time(value: object) -> bool:
    """Whether text is a date and time with its offset; of other types nothing is asked."""
    if not isinstance(value, str):
        return True
    if not _DATE_TIME.fullmatch(value):
        return False
    # A leap second has no place in Python's time.
    text = re.sub(r":60(?=[.Zz+-])", ":59", value.upper())
    try:
        datetime.fromisoformat(re.sub(r"\.\d+", "", text))
    except ValueError:
        return False
    return True


@CHECKER.checks("uri")
def is_uri(value: object) -> bool:
    """Whether text is an address with a scheme, such as https; of other types nothing is asked."""
    if not isinstance(value, str):
        return True
    if not _URI.fullmatch(value):
        return False
    try:
        url = URL(value, encoded=True)
        return bool(url.host) if url.scheme in ("http", "https") else True
    except ValueError:
        return False


FORMATS = tuple(sorted(CHECKER.checkers))
