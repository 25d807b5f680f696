"""A plugin of pytest: how much CPU each suite and each file takes, with all that it starts.

`make test ARGS="-p tests.cpu"` prints the table at the end. Counted is what the kernel books to a
process and to the children that it, and they, have waited for. A Chrome is booked when its shim has
ended, so to this test or to the next one. The Docker engine and its containers are not ours.
"""

import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import PurePath

import pytest

#: Files that are listed, the most expensive ones.
MOST = 40

_booked = 0.0
_by_file: defaultdict[str, float] = defaultdict(float)
_by_test: defaultdict[str, float] = defaultdict(float)


def used() -> float:
    """Seconds of CPU of this process and of the children that were waited for."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Book what was used since the last report to this one, which goes to the controlling process.

    The first one gets what collecting took.
    """
    global _booked
    report = yield
    before, _booked = _booked, used()
    report.user_properties.append(("cpu", _booked - before))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up; a report has the properties of those before it."""
    for name, seconds in report.user_properties[-1:]:
        if name == "cpu" and isinstance(seconds, float):
            _by_file[report.nodeid.partition("::")[0]] += seconds
            _by_test[report.nodeid] += seconds


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    suites: defaultdict[str, float] = defaultdict(float)
    for file, seconds in _by_file.items():
        suites[PurePath(file).parts[1]] += seconds
    terminalreporter.section("seconds of CPU")
    for title, some in (("suites", suites), ("files", _by_file), ("tests", _by_test)):
        terminalreporter.write_line(f"{sum(some.values()):8.0f}  all {title}")
        for name, seconds in sorted(some.items(), key=lambda one: -one[1])[:MOST]:
            terminalreporter.write_line(f"{seconds:8.1f}  {name}")
