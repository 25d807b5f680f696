"""Write the generated parts of the pages, or check that they are up to date.

    python -m tools.docs            write them
    python -m tools.docs --check    change nothing; exit with 1 and name each stale page

A generated part stands in the Markdown between two comments, so that a code forge shows it too:

    <!-- generated: settings -->
    ...
    <!-- end: settings -->
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tools.docs import benchmarks, incident, levels, reference

ROOT = Path(__file__).parents[2]
PART = re.compile(
    r"(?P<head><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<foot><!-- end: (?P=name) -->)",
    re.DOTALL,
)
PARTS: Mapping[str, Callable[[], str]] = {
    "options": reference.options,
    "settings": reference.settings,
    "errors": reference.error_codes,
    "metrics": reference.metrics,
    "gotenberg-fields": reference.gotenberg_fields,
    "why": incident.why,
    "incident": incident.table,
    "render-reference": benchmarks.reference_poster,
    "render-goals": benchmarks.goals,
    "render-posters": benchmarks.other_posters,
    "render-phases": benchmarks.phases,
    "render-steps": benchmarks.steps,
    "context-steps": benchmarks.context_steps,
    "render-machine": benchmarks.machine,
    "render-scaled": benchmarks.scaled,
    "render-scaled-goals": benchmarks.scaled_goals,
    "render-scaled-machine": benchmarks.scaled_machine,
    "render-apis": benchmarks.apis,
    "render-apis-machine": benchmarks.apis_machine,
    "scaling": benchmarks.scaling,
    "init": benchmarks.init,
    "hygiene": benchmarks.hygiene,
    "sizing": benchmarks.sizing,
    "replicas": levels.replicas,
    "render-levels": levels.levels,
    "render-levels-goals": levels.goals,
    "render-levels-machine": levels.machine,
}
#: Plots that pages show, copied into docs/ because a site holds nothing from outside its folder.
PLOTS = {
    "docs/images/incident.svg": "incident/results/plot.svg",
    "docs/images/render.svg": "render/results/plot.svg",
}


def pages() -> list[Path]:
    """Every Markdown page that may hold a generated part."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """A page's text with each generated part as it should be now.

    Raises:
        KeyError: A part has a name that no generator has.
    """

    def part(found: re.Match[str]) -> str:
        return f"{found['head']}\n{PARTS[found['name']]().strip()}\n\n{found['foot']}"

    return PART.sub(part, text)


def outdated() -> Iterator[tuple[Path, str]]:
    """Each file that differs from what it should be, with its right text."""
    for page in pages():
        text = page.read_text("utf-8")
        if (right := filled(text)) != text:
            yield page, right
    for copy, plot in PLOTS.items():
        right = (benchmarks.BENCH / plot).read_text("utf-8")
        path = ROOT / copy
        if not path.exists() or path.read_text("utf-8") != right:
            yield path, right


def main() -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.docs", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="change nothing, report stale pages")
    check = parser.parse_args().check
    stale = list(outdated())
    for path, right in stale:
        name = path.relative_to(ROOT)
        sys.stdout.write(f"{name}: {'out of date; run `make docs`' if check else 'written'}\n")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(right, "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
