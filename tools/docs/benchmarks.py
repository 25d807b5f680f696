"""Tables of what was measured, from the results.json files of bench/."""

import json
from pathlib import Path
from typing import Any

from bench.phases.meter import STEPS
from bench.render.scaled import goals as goals_of_scaled
from bench.render.scaled import rows as scaled_rows
from tools.docs.markdown import plain, table

BENCH = Path(__file__).parents[2] / "bench"
SCALED = "render/results/scaled.json"
STEPS_RESULTS = "phases/results.json"
STEP_COLUMNS = ["raw Chrome", "ours: Chrome and shim", "ours: own Python", "above raw"]
APIS_RESULTS = "render/results/apis/results.json"

REFERENCE = "gradient"
#: What the goals are relative to; the less favourable of both counts.
SHARED = ("puppeteer-context", "playwright-context")
#: Goals relative to other designs: what, ours, the figure, theirs, the bound, whether at least.
GOALS: tuple[tuple[str, str, str, tuple[str, ...], float, bool], ...] = (
    ("p50, one caller", "ours-fast", "p50", SHARED, 0.45, False),
    ("CPU per render", "ours-fast", "cpu", SHARED, 0.70, False),
    ("renders/s", "ours-fast", "rate", SHARED, 1.6, True),
    ("bytes of `balanced`", "ours-balanced", "size", SHARED, 1.15, False),
    ("CPU of `balanced`", "ours-balanced", "cpu", SHARED, 0.95, False),
    ("p50 of `balanced`", "ours-balanced", "p50", SHARED, 0.75, False),
    ("CPU, 50 renders per Chrome", "ours-50-fast", "cpu", SHARED, 0.42, False),
    ("renders/s, 50 renders per Chrome", "ours-50-fast", "rate", SHARED, 2.2, True),
    ("renders/s against launch per render", "ours-fast", "rate", ("pyppeteer-launch",), 3.0, True),
)
#: Every design that was measured, as a reader would say it.
DESIGNS = {
    "puppeteer-context": "puppeteer, shared Chrome, context per render",
    "playwright-context": "playwright, shared Chrome, context per render",
    "puppeteer-launch": "puppeteer, Chrome launched per render",
    "pyppeteer-launch": "pyppeteer, Chrome launched per render",
    "puppeteer-page-fast": "puppeteer, pages shared by all renders, fast PNG",
    "ours": "**poster-service**, all defaults",
    "ours-fast": "**poster-service**, `png_compression` fast",
    "ours-balanced": "**poster-service**, balanced",
    "ours-small": "**poster-service**, small",
    "ours-50-fast": "**poster-service**, 50 renders per Chrome, fast",
    "ours-50-balanced": "**poster-service**, 50 renders per Chrome, balanced",
}
POSTERS = {
    "gradient": "gradient and shadows",
    "photo": "photographs",
    "chinese": "Chinese text",
    "long": "long page, `full_page`",
    "card": "plain card",
}
PHASES = {"HTTP, and what no phase covers": "HTTP and the rest"}
SERIES = {
    "area": ("picture area", "megapixel"),
    "html": ("size of the HTML", "KiB"),
    "inline": ("pictures in the page (`data:`)", "picture"),
    "fetched": ("pictures fetched", "picture"),
}
INITS = {"ours (bytecode)": "poster-init", "ours (source)": "poster-init, run from source"}


def results(path: str) -> Any:
    """The results in a file below bench/."""
    return json.loads((BENCH / path).read_text("utf-8"))


def _render() -> Any:
    return results("render/results/results.json")


def figures(design: str, poster: str) -> Any:
    """What was measured of one design with one poster."""
    return _render()["summary"]["figures"][f"{design} {poster}"]


def best_rate(found: Any) -> float:
    """Renders per second with the number of callers at which it is highest."""
    return float(max(found["rates"].values()))


def machine() -> str:
    """Where and with what the comparison was measured."""
    return measured(_render())


def measured(found: Any) -> str:
    """When, on what and with what some results were measured."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    cpu = found["machine"].replace(" cores", " shared cores")
    versions = versions.replace("chrome Chromium", "Chromium")
    return (
        f"Measured {found['began'][:10]} on {cpu}; {versions};"
        f" {found['rounds']} interleaved rounds, {found['seconds'] // 60} minutes."
    )


def reference_poster() -> str:
    """Every design with the reference poster."""
    summary = _render()["summary"]
    base = figures("puppeteer-context", REFERENCE)["cpu"]
    rows = []
    for design, title in DESIGNS.items():
        found = figures(design, REFERENCE)
        memory = [f"{summary[when][design] / (1 << 20):.0f}" for when in ("rest", "peak")]
        rows.append([
            title, f"{found['p50']:.0f} / {found['p99']:.0f}", f"{best_rate(found):.1f}",
            f"{found['cpu']:.0f}", f"{found['cpu'] / base:.2f}", f"{found['size'] / 1000:.0f}",
            " / ".join(memory), f"{summary['first'][design]:.2f}",
        ])  # fmt: skip
    head = [
        "design", "p50 / p99, ms", "renders/s", "CPU per render, ms", "relative CPU", "KB",
        "memory at rest / peak, MiB", "first picture, s",
    ]  # fmt: skip
    return table(head, rows, 1)


def goals() -> str:
    """What was aimed at beside the shared designs, and what was reached."""
    rows = []
    for what, ours, figure, theirs, bound, least in GOALS:
        mine = _figure(ours, figure)
        ratios = [mine / _figure(one, figure) for one in theirs]
        worst = min(ratios) if least else max(ratios)
        reached = worst >= bound if least else worst <= bound
        rows.append([
            what, f"{'at least' if least else 'at most'} {bound:g} x", f"{worst:.3f} x",
            yes(reached),
        ])  # fmt: skip
    own = figures("ours-fast", REFERENCE)["own"]
    rows.append(["CPU of our own Python", "at most 8 ms", f"{own:.1f} ms", yes(own <= 8)])
    ready = max(_render()["summary"]["ready"].values()) / 1e6
    rows.append(
        ["memory of a ready Chrome", "at most 110 MB", f"{ready:.0f} MB", yes(ready <= 110)]
    )
    return table(["", "goal", "measured", "reached"], rows, 1)


def yes(reached: bool) -> str:
    """Whether a goal was reached, as a cell of a table."""
    return "yes" if reached else "**no**"


def _figure(design: str, name: str) -> float:
    found = figures(design, REFERENCE)
    return best_rate(found) if name == "rate" else float(found[name])


def other_posters() -> str:
    """Every design with every poster."""
    rows = []
    for design, title in DESIGNS.items():
        cells = [figures(design, poster) for poster in POSTERS]
        rows.append([
            title,
            *(f"{one['p50']:.0f} / {one['cpu']:.0f} / {one['size'] / 1000:.0f}" for one in cells),
        ])  # fmt: skip
    return table(["p50, ms / CPU, ms / KB", *POSTERS.values()], rows, 1)


def phases() -> str:
    """Where the milliseconds of one render go."""
    found = figures("ours-fast", REFERENCE)
    rows = [
        [PHASES.get(phase, f"`{phase}`"), f"{took:.1f}", f"{100 * took / found['p50']:.0f} %"]
        for phase, took in found["phases"].items()
    ]
    rows.append(["**median of the whole render**", f"{found['p50']:.1f}", ""])
    return table(["phase", "ms", "share"], rows, 1)


def steps() -> str:
    """Each step of a render in a Chrome of its own, beside a raw Chrome's."""
    found = results(STEPS_RESULTS)
    raw, root, own = (found["steps"][name] for name in ("raw", "root", "own"))
    rows = [
        [STEPS.get(step, "**all steps**"), f"{root[step]['others']:.1f}", *_step(raw, own, step)]
        for step in raw
    ]
    http, whole = found["http"], own["whole"]
    rest = http["others"] - whole["others"], http["own"] - whole["own"]
    above = http["others"] + http["own"] - raw["whole"]["others"]
    rows += [
        ["HTTP, queue, options, answer", "", "", f"{rest[0]:+.1f}", f"{rest[1]:+.1f}", ""],
        ["**a render over HTTP**", "", "", f"{http['others']:.1f}", f"{http['own']:.1f}",
         f"{above:+.1f}"],
    ]  # fmt: skip
    return table(["CPU, ms", "as root, no sandbox", *STEP_COLUMNS], rows, 1)


def context_steps() -> str:
    """The same of a render in a browser context of its own."""
    steps = results(STEPS_RESULTS)["steps"]
    raw, own = steps["raw contexts"], steps["own contexts"]
    nothing = {"others": 0.0, "own": 0.0}
    rows = [
        [STEPS.get(step, "**all steps**"), *_step(raw, {step: nothing, **own}, step)]
        for step in raw
    ]  # fmt: skip
    return table(["CPU, ms", *STEP_COLUMNS], rows, 1)


def _step(raw: Any, own: Any, step: str) -> list[str]:
    """The figures of a step; the program that drives the raw Chrome is not counted."""
    floor, found = raw[step]["others"], own[step]
    above = found["others"] + found["own"] - floor
    return [*(f"{one:.1f}" for one in (floor, found["others"], found["own"])), f"{above:+.1f}"]


def scaling() -> str:
    """What a render costs as the work grows."""
    rows = []
    for series in results("scaling/results/results.json")["series"]:
        if series["name"] in SERIES:
            what, unit = SERIES[series["name"]]
            cpu = series["growth"]["cpu_ms"]
            rows.append([
                what, f"{cpu['fixed']:.0f} ms", f"{cpu['each']:.2f} ms per {unit}",
                f"{cpu['knee']:.3g} {unit}{'' if unit == 'KiB' else 's'}",
            ])  # fmt: skip
    head = ["what grows", "fixed CPU", "CPU for each", "growth equals the fixed part at"]
    return table(head, rows, 1)


def scaled() -> str:
    """The reference poster and the bundled templates at scale 1 and 2."""
    head, *rows = scaled_rows(results(SCALED))
    return table(head, rows, 2)


def scaled_goals() -> str:
    """What was aimed at with those, and what was reached."""
    head, *rows = goals_of_scaled(results(SCALED))
    return table(head, rows, 1)


def scaled_machine() -> str:
    """Where and when those were measured."""
    return measured(results(SCALED))


#: The same render through other services' APIs, after what it is compared with.
APIS = {
    "puppeteer-context": "puppeteer, shared Chrome, context per render",
    "ours-fast": "poster-service, `POST /render`",
    "ours-gotenberg": "poster-service, Gotenberg's `/forms/chromium/screenshot/html`",
    "ours-browserless": "poster-service, browserless' `/screenshot`",
    "ours-cloudflare": "poster-service, Cloudflare's `…/browser-rendering/screenshot`",
}


def apis() -> str:
    """What a render costs through another service's API."""
    figures = results(APIS_RESULTS)["summary"]["figures"]
    base = figures[f"puppeteer-context {REFERENCE}"]
    rows = []
    for design, title in APIS.items():
        found = figures[f"{design} {REFERENCE}"]
        rows.append([
            title, f"{found['p50']:.0f}", f"{found['cpu']:.0f}",
            f"{found['cpu'] / base['cpu']:.2f}", f"{found['own']:.1f}",
            f"{found['size'] / 1000:.0f}",
        ])  # fmt: skip
    head = ["asked through", "p50, ms", "CPU, ms", "relative", "own process, ms", "KB"]
    return table(head, rows, 1)


def apis_machine() -> str:
    """Where and when that was measured."""
    return measured(results(APIS_RESULTS))


def init() -> str:
    """Init beside tini, dumb-init, catatonit and bash."""
    found = results("init/results/results.json")["results"]

    def ending(one: Any, child: str) -> str:
        if one[f"clean_{child}"] == "yes":
            return "finishes"
        return "no SIGTERM" if isinstance(one["latency_us"], str) else "cut off"

    def latency(one: Any) -> str:
        delay = one["latency_us"]
        return "not forwarded" if isinstance(delay, str) else f"{delay:.0f}"

    rows = [
        ["start of `true`, ms more than without",
         *(f"{one['start_ms']:.1f}" for one in found.values())],
        ["memory, RSS / private, KiB",
         *(f"{one['rss_kib']} / {one['private_kib']}" for one in found.values())],
        ["CPU per orphan, µs", *(f"{one['cpu_us_per_orphan']:.1f}" for one in found.values())],
        ["orphans/s, steady", *(f"{one['stream_per_s']:.0f}" for one in found.values())],
        ["orphans/s, burst", *(f"{one['burst_per_s']:.0f}" for one in found.values())],
        ["most zombies at once", *(plain(one["most_zombies"]) for one in found.values())],
        ["delay of a signal, µs", *map(latency, found.values())],
        ["clean-up of 300 ms, direct child", *(ending(one, "direct") for one in found.values())],
        ["the same behind a shell", *(ending(one, "shell") for one in found.values())],
    ]  # fmt: skip
    return table(["", *(INITS.get(name, name) for name in found)], rows, 1)


def hygiene() -> str:
    """What cleaning up costs."""
    found = results("hygiene/results.json")
    rows = [
        [f"from the picture to the confirmed end of the lease, {one['program']}",
         f"{one['median_ms']:.0f} ms, p99 {one['p99_ms']:.0f} ms"]
        for one in found["endings"]
    ]  # fmt: skip
    rows += [
        [f"a shim's whole life, {one['how'].replace('by path', 'started as a program')}",
         f"{one['cpu_ms']:g} ms of CPU"]
        for one in found["shim"]
    ]  # fmt: skip
    rows += [
        [f"a census of {one['processes']} processes", f"{one['cpu_ms']:g} ms of CPU"]
        for one in found["census"]
    ]
    return table(["what", "cost"], rows, 1)


def sizing() -> str:
    """Memory and CPU of the image by renders at once."""
    head = [
        "renders at once", "service, MiB", "init, MiB", "ready Chrome, MiB",
        "rendering Chrome, peak MiB", "CPU per render, s",
    ]  # fmt: skip
    rows = [
        [str(run["at_once"]), f"{run['service_mib']:.0f}", f"{run['init_mib']:.0f}",
         f"{run['ready_chrome_mib']:.0f}", f"{run['rendering_chrome_mib']:.0f}",
         f"{run['cpu_ms_per_render'] / 1000:.2f}"]
        for run in results("sizing/results.json")["runs"]
    ]  # fmt: skip
    return table(head, rows, 0)
