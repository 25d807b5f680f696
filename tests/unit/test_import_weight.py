"""What a module pulls in when it is imported: a job is checked without loading Chrome's driver."""

import subprocess
import sys

import pytest

#: Drives Chrome, filters photographs, compresses PNGs: megabytes and tenths of a second of start.
HEAVY = ("pyppeteer", "PIL", "zlib_ng")


def imported_by(module: str) -> set[str]:
    """The top-level names of all that a fresh interpreter has loaded after importing a module."""
    script = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize(
    "module",
    [
        "poster_service.browser.types",
        "poster_service.render.job",
        "poster_service.render.template",
        "poster_service.render.warnings",
        "poster_service.fetch.client",
        "poster_service.fetch.http_cache",
        "poster_service.fetch.response_cache",
    ],
)
def test_what_needs_the_types_only_loads_nothing_heavy(module: str) -> None:
    """Neither by itself nor through others."""
    assert imported_by(module).isdisjoint(HEAVY)


def test_the_types_need_the_standard_library_only() -> None:
    """So that any package may import them, also one that must do without the others."""
    loaded = imported_by("poster_service.browser.types")
    assert loaded - {"poster_service"} <= set(sys.stdlib_module_names) | {
        name for name in loaded if name.startswith("_")
    }


def test_a_service_does_not_wait_for_a_part_of_jsonschema_that_the_image_has_not() -> None:
    """`make setup-dev` removes it: its import takes more CPU than a start of the service."""
    assert imported_by("poster_service.engine").isdisjoint({"rfc3987", "rfc3987_syntax", "lark"})


def test_a_service_without_traces_loads_nothing_of_opentelemetry() -> None:
    """Which is an extra, and takes 0.3 s of CPU to load; with traces it does."""
    assert "opentelemetry" not in imported_by("poster_service.web.app")
    assert "opentelemetry" in imported_by("poster_service.telemetry.otel")


def test_the_search_finds_what_is_heavy() -> None:
    """It does fail for what drives Chrome and for what encodes."""
    assert "pyppeteer" in imported_by("poster_service.browser.page")
    assert {"PIL", "zlib_ng"} <= imported_by("poster_service.render.encode")
