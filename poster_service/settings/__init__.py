"""All settings: frozen, read once, checked as a whole before anything starts.

Each has a unit in its name where it has one, a default, and a description from which `--help` and
the configuration page are made. The setting `stop_grace_seconds` is the variable
POSTER_STOP_GRACE_SECONDS and the flag --stop-grace-seconds; the flag wins. To add one, add a field
to the group it belongs to, in `serving.py` or `rendering.py`; to rename one, add its former name to
`names.RENAMED`.
"""

from poster_service.settings.defaults import default_templates, processors
from poster_service.settings.model import Settings
from poster_service.settings.names import RENAMED, SECRETS, flag_of, variable_of
from poster_service.settings.types import Network, canonical_host, han_language

__all__ = [
    "RENAMED",
    "SECRETS",
    "Network",
    "Settings",
    "canonical_host",
    "default_templates",
    "flag_of",
    "han_language",
    "processors",
    "variable_of",
]
