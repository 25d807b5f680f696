"""Every module can be imported, on every Python that the tests run on."""

import pkgutil
import subprocess
import sys

import poster_service

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(poster_service.__path__, "poster_service.")
    if not module.name.endswith("__main__")
)
#: pyppeteer 2.0.0 pins websockets 10, and pygal has an import hook of an old kind: known warnings.
IMPORT_ALL = """
import importlib, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", ".*websockets.*", DeprecationWarning)
warnings.filterwarnings("ignore", "PluginImportFixer.find_spec", ImportWarning)
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name)
"""


def test_every_module_is_imported_without_a_warning() -> None:
    """In an interpreter of its own, where none of them is imported already."""
    assert len(MODULES) > 80
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *MODULES],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == MODULES
