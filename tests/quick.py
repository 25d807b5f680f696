"""What `make test-quick` leaves out of files whose tests each render: all but the first.

They prove options and routes one by one, by a Chrome for each test. All of them are in `make test`;
the first shows within seconds that what the file is about works at all.
"""

from collections.abc import Iterable

import pytest

#: Measured by `tests.cpu`: more than three seconds of CPU each, if all that is not slow is run.
SAMPLED = frozenset((
    "tests/chrome/test_frames.py",
    "tests/chrome/test_pool_machine.py",
    "tests/chrome/test_shown.py",
    "tests/hostile/test_batches.py",
    "tests/hostile/test_browserless.py",
    "tests/hostile/test_cloudflare.py",
    "tests/hostile/test_destination.py",
    "tests/hostile/test_gotenberg.py",
    "tests/hostile/test_header_footer.py",
    "tests/hostile/test_jobs.py",
    "tests/hostile/test_limits.py",
    "tests/hostile/test_plain_http.py",
    "tests/hostile/test_reach.py",
    "tests/hostile/test_shares.py",
    "tests/hostile/test_url.py",
    "tests/hostile/test_webhooks.py",
    "tests/jobs/test_batches.py",
    "tests/jobs/test_storage.py",
    "tests/jobs/test_stored.py",
    "tests/jobs/test_workers.py",
    "tests/web/compat/test_browserless.py",
    "tests/web/compat/test_browserless_pdf.py",
    "tests/web/compat/test_browserless_service.py",
    "tests/web/compat/test_cloudflare.py",
    "tests/web/compat/test_gotenberg.py",
    "tests/web/compat/test_gotenberg_outputs.py",
    "tests/web/compat/test_gotenberg_pages.py",
    "tests/web/test_answers.py",
    "tests/web/test_budget.py",
    "tests/web/test_cache.py",
    "tests/web/test_capture.py",
    "tests/web/test_chrome_user.py",
    "tests/web/test_contents.py",
    "tests/web/test_environment.py",
    "tests/web/test_fail_on.py",
    "tests/web/test_fonts.py",
    "tests/web/test_fonts_page.py",
    "tests/web/test_get_render.py",
    "tests/web/test_injected.py",
    "tests/web/test_markdown.py",
    "tests/web/test_metrics.py",
    "tests/web/test_missing.py",
    "tests/web/test_outputs.py",
    "tests/web/test_own_network.py",
    "tests/web/test_pdf_options.py",
    "tests/web/test_region.py",
    "tests/web/test_request_rules.py",
    "tests/web/test_scroll_page.py",
    "tests/web/test_tall_pages.py",
    "tests/web/test_url.py",
    "tests/web/test_waits.py",
    "tests/web/test_warm_pages.py",
))  # fmt: skip


def mark_all_but_the_first(items: Iterable[pytest.Item]) -> None:
    """Mark the tests of these files as slow, but the first of each that is not slow anyway."""
    begun = set()
    for item in items:
        file = item.nodeid.partition("::")[0]
        if file not in SAMPLED or is_left_out(item):
            continue
        if file in begun:
            item.add_marker(pytest.mark.slow)
        begun.add(file)


def is_left_out(item: pytest.Item) -> bool:
    """Whether the quick suite has it not."""
    return any(item.get_closest_marker(name) for name in ("slow", "endurance"))
