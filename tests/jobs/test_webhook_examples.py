"""The receivers of docs/webhooks.md, run as they stand there, against real deliveries."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import settled
from tests.docs.pages import ROOT, blocks
from tests.jobs.deliveries import SECRET, sending
from tests.jobs.receiver import new_secret
from tests.jobs.s3_server import free_ports

PAGE = ROOT / "docs" / "webhooks.md"
#: How to run an example, by its language.
PROGRAMS = {"python": ("py", sys.executable), "js": ("mjs", "node")}


@contextlib.contextmanager
def running_example(language: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """A receiver of the page; its address, and the file that it prints to."""
    (code,) = [block.text for block in blocks(PAGE) if block.language == language]
    ending, command = PROGRAMS[language]
    program, printed = folder / f"receiver.{ending}", folder / "printed"
    program.write_text(code)
    [port] = free_ports(1)
    env = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(port)}
    with printed.open("wb") as out:
        process = subprocess.Popen([command, str(program)], env=env, stdout=out, cwd=ROOT)
        try:
            yield f"http://127.0.0.1:{port}/hook", printed
        finally:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    """Whether something listens there."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 1).close()
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("language", PROGRAMS)
async def test_the_receivers_of_the_page_verify_what_is_sent(language: str, tmp_path: Path) -> None:
    """While keys rotate too; not what another key has signed, and nothing twice."""
    with running_example(language, tmp_path) as (url, printed):
        assert await settled(lambda: answers(url), 60)
        async with sending() as sent:
            body = '{"type":"render.succeeded","data":{"job":"j1"}}'
            good = await sent.publish(url, body=body)
            assert (await sent.ended(good)).state == "delivered"
            sent.secrets = [new_secret("n"), SECRET]
            rotating = await sent.publish(url, body=body.replace("j1", "j2"))
            assert (await sent.ended(rotating)).state == "delivered"
            sent.secrets = [new_secret("n")]
            forged = await sent.publish(url, body=body.replace("j1", "j3"))
            dead = await sent.ended(forged)
            assert (dead.state, dead.status) == ("dead", 400)
        async with sending() as other:  # which does not know that it was delivered
            again = await other.publish(url, body=body, id=good.id)
            assert (await other.ended(again)).state == "delivered"
        lines = printed.read_text().splitlines()
    assert lines == ["render.succeeded j1", "render.succeeded j2"]
