"""Measures init against tini, dumb-init, catatonit and `bash -c`, side by side in one run.

    python -m bench.init [--out FOLDER] [--only NAME]

Writes results.json (every figure) and table.md. Each candidate runs as PID 1 of a namespace of its
own, in turn with the others, so that a busy moment of the machine hits all alike. Never part of
the suite: it asserts nothing.
"""

import argparse
import contextlib
import json
import os
import platform
import py_compile
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "poster_service" / "init.py"
PROGRAMS = ROOT / "tests" / "process" / "programs"
PYTHON = (sys.executable, "-I", "-S", "-E")
UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
PEERS = ("tini", "dumb-init", "catatonit")

ROUNDS = 3  # of everything, each candidate once in each; the median stands in the table
STARTS = 50
ORPHANS = 20_000
BURST = 2_000
SIGNALS = 1_000
CLEANING_S = 0.3
PATIENCE_S = 3.0  # after which "never" stands in the table

Command = tuple[str, ...]
Figures = dict[str, float | str]


def candidates(folder: Path) -> dict[str, Command]:
    """What is compared: name -> what stands in front of the command."""
    compiled = folder / "init.pyc"
    py_compile.compile(str(SOURCE), str(compiled), doraise=True)
    return {
        "ours (bytecode)": (*PYTHON, str(compiled)),
        "ours (source)": (*PYTHON, str(SOURCE)),
        "tini": ("tini", "--"),
        "dumb-init": ("dumb-init", "--"),
        "catatonit": ("catatonit", "--"),
        "bash -c": ("bash", "-c", '"$@"; exit $?', "bash"),
    }


def program(name: str, *arguments: object) -> Command:
    """One of the small programs of the process tests."""
    return (*PYTHON, str(PROGRAMS / f"{name}.py"), *map(str, arguments))


def wait_for(condition: Callable[[], object], limit_s: float = 60.0) -> bool:
    """Look until a condition holds; whether it did within the limit."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
    return True


def text(path: Path) -> str:
    """A file's text, or nothing where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """The direct children of a process, as seen from here."""
    return [int(word) for word in text(Path(f"/proc/{pid}/task/{pid}/children")).split()]


@contextlib.contextmanager
def running(init: Command, command: Command) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A candidate as PID 1 with a command; its pid as seen from here."""
    process = subprocess.Popen(
        [*UNSHARE, *init, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: children(process.pid))
        yield process, children(process.pid)[0]
    finally:
        process.kill()
        process.wait()


def start_up(inits: dict[str, Command]) -> dict[str, Figures]:
    """Milliseconds from start to end of `true`, beyond what it takes alone."""
    alone: Command = ()
    times: dict[str, list[float]] = {name: [] for name in ["alone", *inits]}
    unshare = (shutil.which("unshare") or "unshare", *UNSHARE[1:])
    for _ in range(STARTS):
        for name, init in {"alone": alone, **inits}.items():
            command = [*unshare, *init, "/bin/true"]
            begun = time.perf_counter()
            os.waitpid(os.posix_spawn(command[0], command, os.environ), 0)
            times[name].append((time.perf_counter() - begun) * 1000)
    bare = statistics.median(times.pop("alone"))
    return {name: {"start_ms": statistics.median(taken) - bare} for name, taken in times.items()}


def memory(init: Command) -> Figures:
    """KiB at rest: resident, and dirty pages of its own."""
    with running(init, ("sh", "-c", "echo >&-; exec sleep 1000")) as (_, pid):
        wait_for(lambda: any(text(Path(f"/proc/{c}/comm")) == "sleep\n" for c in children(pid)))
        rollup = text(Path(f"/proc/{pid}/smaps_rollup"))
    sizes = {words[0]: int(words[1]) for line in rollup.splitlines()[1:] if (words := line.split())}
    return {"rss_kib": sizes["Rss:"], "private_kib": sizes["Private_Dirty:"]}


def cpu_ns(pid: int) -> int:
    """Nanoseconds a process has been on a CPU (proc_pid_schedstat)."""
    return int((text(Path(f"/proc/{pid}/schedstat")) or "0").split()[0])


def zombies(pid: int) -> int:
    """How many direct children of a process are zombies just now."""
    return sum(") Z " in text(Path(f"/proc/{child}/stat")) for child in children(pid))


def stream(init: Command, folder: Path) -> Figures:
    """Orphans as fast as one process can make them."""
    out = folder / "stream"
    out.unlink(missing_ok=True)
    begun = time.perf_counter()
    with running(init, program("orphan_maker", ORPHANS, out)) as (_, pid):
        before = cpu_ns(pid)
        while "made" not in text(out):
            time.sleep(0.005)
        wait_for(lambda: len(children(pid)) <= 1)
        taken = time.perf_counter() - begun
        used = cpu_ns(pid) - before
    return {"stream_per_s": ORPHANS / taken, "cpu_us_per_orphan": used / 1000 / ORPHANS}


def crowd(init: Command, folder: Path) -> Figures:
    """The most zombies seen in a stream; apart from it, because looking takes a core."""
    out = folder / "crowd"
    out.unlink(missing_ok=True)
    most = 0
    with running(init, program("orphan_maker", ORPHANS // 4, out)) as (_, pid):
        while "made" not in text(out):
            most = max(most, zombies(pid))
    return {"most_zombies": most}


def burst(init: Command, folder: Path) -> Figures:
    """Orphans that die at one instant: how many a second are reaped, seen from outside."""
    out = folder / "burst"
    out.unlink(missing_ok=True)
    with running(init, program("orphan_maker", BURST, out, BURST)) as (_, pid):
        wait_for(lambda: len(children(pid)) > BURST * 0.999)
        begun = time.perf_counter()
        wait_for(lambda: len(children(pid)) <= 1)
        taken = time.perf_counter() - begun
    return {"burst_per_s": BURST / taken}


LATENCY = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
pipe = os.open({path!r}, os.O_WRONLY)
os.write(pipe, b"0\\n")
while True:
    signal.sigwait([signal.SIGUSR1])
    os.write(pipe, b"%d\\n" % time.monotonic_ns())
"""


def latency(init: Command, folder: Path) -> Figures:
    """Microseconds from kill() on init to the child's awakening."""
    path = folder / "latency"
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    command = (*PYTHON, "-c", LATENCY.format(path=str(path)))
    taken = []
    with running(init, command) as (process, pid), path.open() as pipe:
        pipe.readline()
        for _ in range(SIGNALS):
            time.sleep(0.001)  # let all fall asleep again; this is no wait for a condition
            begun = time.monotonic_ns()
            os.kill(pid, signal.SIGUSR1)
            if "bash" in init:
                return {"latency_us": "never"}  # it would wait for a signal that does not come
            taken.append((int(pipe.readline()) - begun) / 1000)
        assert process.poll() is None
    return {"latency_us": statistics.median(taken), "latency_p95_us": sorted(taken)[-50]}


def ending(init: Command, folder: Path, behind_shell: bool) -> Figures:
    """From TERM to the end, with a child that needs 300 ms to clean up; did it get them?"""
    out = folder / "ending"
    out.unlink(missing_ok=True)
    command: Command = program("slow_cleaner", out, CLEANING_S)
    if behind_shell:
        command = ("sh", "-c", '"$@"; true', "sh", *command)
    with running(init, command) as (process, pid):
        wait_for(lambda: "ready" in text(out))
        begun = time.perf_counter()
        os.kill(pid, signal.SIGTERM)
        ended = wait_for(lambda: process.poll() is not None, PATIENCE_S)
        taken = time.perf_counter() - begun
    key = "shell" if behind_shell else "direct"
    return {
        f"end_{key}_ms": taken * 1000 if ended else "never",
        f"clean_{key}": "yes" if "clean\n" in text(out) else "no",
    }


def one_round(inits: dict[str, Command], folder: Path) -> dict[str, Figures]:
    """Every figure of every candidate, once."""
    results = start_up(inits)
    for name, init in inits.items():
        print(f"measuring {name}", file=sys.stderr)
        figures = results[name]
        figures |= memory(init)
        figures |= stream(init, folder)
        figures |= crowd(init, folder)
        figures |= burst(init, folder)
        figures |= latency(init, folder)
        figures |= ending(init, folder, behind_shell=False)
        figures |= ending(init, folder, behind_shell=True)
    return results


def middle(rounds: list[dict[str, Figures]]) -> dict[str, Figures]:
    """The median of each figure over the rounds; words are those of the last round."""
    results: dict[str, Figures] = {}
    for name, last in rounds[-1].items():
        results[name] = {}
        for key, value in last.items():
            numbers = [n for one in rounds if not isinstance(n := one[name][key], str)]
            results[name][key] = value if isinstance(value, str) else statistics.median(numbers)
    return results


COLUMNS = (
    ("start_ms", "start of `true`, ms above bare", ".1f"),
    ("rss_kib", "RSS, KiB", ".0f"),
    ("private_kib", "private, KiB", ".0f"),
    ("cpu_us_per_orphan", "CPU per orphan, us", ".1f"),
    ("stream_per_s", "orphans/s, stream", ".0f"),
    ("burst_per_s", "orphans/s, burst", ".0f"),
    ("most_zombies", "most zombies", ".0f"),
    ("latency_us", "signal passed on, us (p50)", ".0f"),
    ("end_direct_ms", "TERM to end, direct child, ms", ".0f"),
    ("clean_direct", "it finished", ""),
    ("end_shell_ms", "TERM to end, behind a shell, ms", ".0f"),
    ("clean_shell", "it finished", ""),
)


def table(results: dict[str, Figures]) -> str:
    """The figures as a markdown table, a column for each candidate."""
    lines = ["| | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    for key, title, form in COLUMNS:
        cells = []
        for figures in results.values():
            value = figures.get(key, "")
            cells.append(value if isinstance(value, str) else format(value, form))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Where this was measured, in words that name nothing of it."""
    cores = len(os.sched_getaffinity(0))
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{cores} shared cores, kernel {kernel}, Python {platform.python_version()}"


def main() -> int:
    """Measure and write; 1 where something to measure against is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", help="just this candidate")
    given = parser.parse_args()
    missing = [peer for peer in PEERS if not shutil.which(peer)]
    if missing:
        print(f"missing: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        inits = candidates(Path(name))
        chosen = {k: v for k, v in inits.items() if given.only in (None, k)}
        rounds = [one_round(chosen, Path(name)) for _ in range(ROUNDS)]
    results = middle(rounds)
    given.out.mkdir(parents=True, exist_ok=True)
    raw = {"machine": machine(), "results": results, "rounds": rounds}
    (given.out / "results.json").write_text(json.dumps(raw, indent=1) + "\n")
    words = f"{machine()}; each as PID 1 of a namespace of its own.\n\n{table(results)}"
    (given.out / "table.md").write_text(words)
    print(words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
