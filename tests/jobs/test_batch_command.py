"""`poster-service batch`: a file of items becomes a folder or a bucket of results."""

import asyncio
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store

from tests.conftest import settled
from tests.jobs.s3_server import BUCKET, S3Server
from tests.processes import running
from tests.web.pictures import decode
from tests.web.served import environment, fed, left_of, run
from tests.web.service import running_in_own_folder
from tests.web.tokens import APP, TOKENS

pytestmark = pytest.mark.slow

PAGE = "<style>body { margin: 0; background: {{ colour }} }</style>"
SMALL = ("--width", "20", "--height", "10")


class Batch:
    """A folder with a page, in which batches run."""

    def __init__(self, folder: Path, work_dir: Path) -> None:
        self.folder, self.work_dir = folder, work_dir
        (folder / "page.html").write_text(PAGE)
        self.out, self.report = folder / "out", folder / "failures"
        self.arguments = (
            "batch", "--page", str(folder / "page.html"), "--out", str(self.out),
            "--report", str(self.report), *SMALL,
        )  # fmt: skip

    async def run(self, items: list[Any], *more: str, **variables: str) -> tuple[int, str]:
        """Run it over these items; the status, and the last line on stderr."""
        text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in items)
        file = self.folder / "items.ndjson"
        file.write_text(text)
        status, out, err = await run(self.work_dir, *self.arguments, str(file), *more, **variables)
        assert out == ""
        assert left_of(self.work_dir) == []
        return status, err.strip().splitlines()[-1]

    def files(self) -> dict[str, float]:
        """The results, by name without digest, and when each was written."""
        found = self.out.glob("[!.]*")
        return {
            f"{one.name.partition('-')[0]}{one.suffix}": one.stat().st_mtime_ns for one in found
        }

    def parts(self) -> list[Path]:
        """Files that are not whole yet: of a batch that runs, the next moment has others."""
        return list(self.out.glob(".*.part"))

    def failures(self) -> list[dict[str, Any]]:
        """The lines of the report."""
        return [json.loads(line) for line in self.report.read_text().splitlines()]


@pytest.fixture
def batch(tmp_path: Path, work_dir: Path) -> Batch:
    """With a page of one placeholder."""
    return Batch(tmp_path, work_dir)


def coloured(name: str, colour: str, **options: Any) -> dict[str, Any]:
    """An item."""
    return {"id": name, "data": {"colour": colour}, **options}


async def test_each_item_becomes_a_file_and_is_rendered_once(batch: Batch) -> None:
    """What is there stays as it is; what has changed or failed is rendered again."""
    items = [
        {"common": {"format": "webp"}},
        coloured("red", "#ff0000"),
        coloured("blue", "#0000ff", format="png", width=30),
        coloured("wrong", "#00ff00", width=0),
        coloured("slow", "red", wait_for={"selector": "#never"}, timeout_ms=2_000),
        "no JSON",
    ]
    status, output = await batch.run(items)
    assert (status, output) == (1, output)
    assert output.startswith("2 rendered, ")
    assert f"3 failed, listed in {batch.report}" in output
    first = batch.files()
    assert first.keys() == {"red.webp", "blue.png"}
    (blue,) = batch.out.glob("blue-*.png")
    assert decode(blue.read_bytes()).size == (30, 10)
    failures = {one["id"]: one for one in batch.failures()}
    assert failures["wrong"]["line"] == 4
    assert failures["wrong"]["problem"]["errors"][0]["field"] == "width"
    assert failures["slow"]["problem"]["code"] == "render_timeout"
    assert failures["6"]["problem"]["code"] == "bad_request"

    items[2:] = [coloured("blue", "#0000fe", format="png"), coloured("wrong", "#00ff00")]
    status, output = await batch.run(items)
    assert status == 0
    assert output.startswith("2 rendered, ")
    assert "; 1 were there; 0 failed" in output
    assert batch.failures() == []
    assert batch.files()["red.webp"] == first["red.webp"]
    assert len(list(batch.out.glob("blue-*.png"))) == 2

    status, output = await batch.run(items, "--again")
    assert output.startswith("3 rendered, ")
    assert batch.files()["red.webp"] > first["red.webp"]


async def test_a_csv_file_from_stdin_with_a_template(batch: Batch) -> None:
    """The first row names the data, `--name` the files."""
    rows = "id,title,author.name,summary\na,Hello,Lin,\nb,,Wan,x\n"
    status, out, err = await fed(
        batch.work_dir, rows.encode(), "batch", "-", "--csv", "--template", "article-card",
        "--out", f"file://{batch.out}", "--name", "cards/{id}.{extension}", "--format", "jpeg",
        "--report", str(batch.report),
    )  # fmt: skip
    assert (status, out) == (1, ""), err
    assert [one.name for one in (batch.out / "cards").iterdir()] == ["a.jpg"]
    (failure,) = batch.failures()
    assert failure["line"] == 3
    assert failure["problem"]["code"] == "invalid_data"


async def test_each_output_of_an_item_is_a_file(batch: Batch) -> None:
    """Of its own name; an item whose last output is missing is rendered again."""
    outputs = [{"name": "small"}, {"name": "paper", "format": "pdf"}]
    items = [coloured("x", "red", outputs=outputs)]
    status, _ = await batch.run(items)
    assert status == 0
    small, paper = sorted(batch.out.iterdir(), key=lambda one: one.suffix, reverse=True)
    assert small.name.endswith("-small.png")
    assert paper.name.endswith("-paper.pdf")
    paper.unlink()
    _, output = await batch.run(items)
    assert output.startswith("1 rendered, ")
    assert paper.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_the_same_command_goes_on(
    batch: Batch, number: signal.Signals
) -> None:
    """Nothing is left of its Chromes, and no part of a file; nothing is rendered twice."""
    items = batch.folder / "items.ndjson"
    lines = [coloured(f"n{place}", f"#0000{place:02x}") for place in range(12)]
    # It waits for its time: the signal comes while it is rendered.
    lines.insert(3, coloured("held", "red", wait_for={"selector": "#never"}, timeout_ms=60_000))
    items.write_text("\n".join(map(json.dumps, lines)))
    async with running(
        sys.executable, "-m", "poster_service", *batch.arguments, str(items),
        "--concurrency", "1", env=environment(batch.work_dir), stderr=asyncio.subprocess.PIPE,
    ) as process:  # fmt: skip
        assert await settled(lambda: len(batch.files()) >= 3)
        process.send_signal(number)
        _, err = await process.communicate()
    assert process.returncode == 128 + number
    # It may have come between the third file and its count.
    assert re.search(rb"1[01] left: the same command goes on", err), err
    assert left_of(batch.work_dir) == []
    assert batch.parts() == []
    before = batch.files()
    assert len(before) == 3
    del lines[3]
    status, output = await batch.run(lines)
    assert status == 0
    assert output.startswith("9 rendered, ")
    assert before.items() <= batch.files().items()


async def test_a_silent_pipe_does_not_keep_it_from_ending(batch: Batch) -> None:
    """What came before is rendered as it comes; the signal ends the rest."""
    async with running(
        sys.executable, "-m", "poster_service", *batch.arguments, "-",
        env=environment(batch.work_dir),
        stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(coloured("first", "red")).encode() + b"\n")
        assert await settled(lambda: "first.png" in batch.files())
        process.terminate()
        assert await process.wait() == 128 + signal.SIGTERM
    assert left_of(batch.work_dir) == []


async def test_results_in_a_bucket(batch: Batch, s3: S3Server) -> None:
    """With their media type; what is there is not rendered again; the exit status is right."""
    items = [coloured("a", "red"), coloured("b", "blue")]
    out = ("--out", f"s3://{BUCKET}/campaign")
    status, output = await batch.run(items, *out, **s3.variables)
    assert (status, output) == (0, output)
    assert output.startswith("2 rendered, ")
    status, output = await batch.run(items, *out, **s3.variables)
    assert status == 0
    assert "; 2 were there; 0 failed" in output
    keys = {name.lower(): value for name, value in s3.variables.items()}
    store = S3Store(
        BUCKET, endpoint=s3.endpoint, access_key_id=keys["aws_access_key_id"],
        secret_access_key=keys["aws_secret_access_key"], region="us-east-1",
        client_options={"allow_http": True},
    )  # fmt: skip
    (found,) = list(obstore.list(store, "campaign"))
    assert sorted(one["path"][:11] for one in found) == ["campaign/a-", "campaign/b-"]
    assert obstore.get(store, found[0]["path"]).attributes["Content-Type"] == "image/png"


async def test_a_folder_that_cannot_be_written_ends_it(batch: Batch) -> None:
    """At once, and not with a failure for each item."""
    batch.out.mkdir()
    (batch.out / "x").write_text("a file, where a folder is needed")
    items = [coloured(f"n{place}", "red") for place in range(5)]
    status, output = await batch.run(items, "--name", "x/{id}.png")
    assert status == 1
    assert output.startswith("poster-service: cannot write x/n")
    assert batch.failures() == []


async def test_an_unknown_template_is_reported_once(batch: Batch) -> None:
    """And not with each item; nothing is begun."""
    items = batch.folder / "items"
    items.write_text("{}\n{}\n")
    status, _, err = await run(
        batch.work_dir, "batch", str(items), "--template", "no-such", "--out", str(batch.out),
        "--report", str(batch.report),
    )  # fmt: skip
    assert status == 2
    (line,) = err.splitlines()
    assert "unknown template 'no-such'" in line
    assert left_of(batch.work_dir) == []


async def test_a_service_renders_the_items(batch: Batch, work_dir: Path) -> None:
    """With a token; its results become the same files; what is there is not sent again."""
    items = [coloured("red", "#ff0000"), coloured("blue", "#0000ff", format="webp"), "no JSON"]
    outputs = [{"name": "a"}, {"name": "b", "format": "pdf"}]
    items += [coloured("two", "red", outputs=outputs), coloured("late", "red", selector="#none")]
    async with running_in_own_folder(tokens=TOKENS) as service:
        token = {"POSTER_CLIENT_TOKEN": APP}
        status, output = await batch.run(items, "--url", service.address, **token)
        assert status == 1
        assert output.startswith("3 rendered, ")
        assert "; 2 failed, listed in" in output
        assert batch.files().keys() == {"red.png", "blue.webp", "two.png", "two.pdf"}
        (red,) = batch.out.glob("red-*.png")
        assert decode(red.read_bytes()).size == (20, 10)
        failures = {one["id"]: (one["line"], one["problem"]["code"]) for one in batch.failures()}
        assert failures == {"3": (3, "bad_request"), "late": (5, "selector_not_found")}
        status, output = await batch.run(items[:2], "--url", service.address, **token)
        assert status == 0
        assert output.startswith("0 rendered, ")
        assert "; 2 were there; 0 failed" in output
        status, output = await batch.run(items, "--again", "--url", service.address)
        assert status == 1
        assert "refuses the batch: " in output or "4 left" in output
    assert left_of(work_dir) == []


async def test_a_signal_cancels_the_batch_at_the_service(batch: Batch) -> None:
    """Nothing goes on there."""
    items = batch.folder / "items.ndjson"
    late = {"html": "<p>", "wait_for": {"selector": "#never"}, "timeout_ms": 60_000}
    items.write_text("\n".join(json.dumps(late) for _ in range(5)))
    async with (
        running_in_own_folder() as service,
        running(
            sys.executable, "-m", "poster_service", *batch.arguments, str(items),
            "--url", service.address, env=environment(batch.work_dir),
            stderr=asyncio.subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        jobs = service.server.jobs

        def active() -> int:
            return jobs.runner.active.count if jobs.runner is not None else 0

        assert await settled(lambda: active() > 0)
        process.terminate()
        assert await process.wait() == 128 + signal.SIGTERM
        assert await settled(lambda: active() == 0)
