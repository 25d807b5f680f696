"""The systemd unit, run: installed as its head says, under a systemd that is PID 1 of a container.

The container stands for a machine: it has every privilege that systemd needs (but CAP_SYS_RESOURCE,
which not every machine has to give) and control groups of its own. The unit confines itself.
"""

import asyncio
import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.conftest import settled
from tests.image.harness import ROOT, Container, Engine, container

UNIT = "poster-service"
TOKEN = "systemd-token-0123456789"
#: What stands in for `git clone`: all that the unit's head needs of the tree.
TREE = (
    "LICENSE", "Makefile", "README.md", "docker", "poster_service", "pyproject.toml",
    "requirements-build.lock", "requirements.lock", "templates", "tools",
)  # fmt: skip
DOCKERFILE = """
ARG BASE
FROM ${BASE}
USER root
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \\
    --no-install-recommends ca-certificates make python3-venv systemd && rm -rf /var/lib/apt/lists/*
COPY tree/requirements-build.lock tree/requirements.lock /opt/poster-service/
COPY tree /opt/poster-service
RUN make -C /opt/poster-service setup \\
    && cp /opt/poster-service/docker/poster-service.service /etc/systemd/system/ \\
    && systemctl enable poster-service
COPY etc /etc
COPY probe.py /opt/
HEALTHCHECK NONE
ENTRYPOINT []
STOPSIGNAL SIGRTMIN+3
"""
#: The two lines that the unit names for tokens, what it says about POSTER_HOST, and a probe that
#: systemd runs before the service, confined as the service is.
DROP_IN = """
[Service]
LoadCredential=tokens:/etc/poster-service/tokens
Environment=POSTER_TOKENS_FILE=%d/tokens
ExecStartPre=/usr/bin/python3 /opt/probe.py
"""
DEFAULTS = "POSTER_HOST=0.0.0.0\nPOSTER_METRICS_UNAUTHENTICATED=1\n"
#: System calls by the C library, so that no number of an architecture is needed. None of them asks
#: for a capability: without the unit's filters each would succeed.
PROBE = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)

def outcome(done):
    return "ok" if done >= 0 else errno.errorcode[ctypes.get_errno()]

def child(run):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, run().encode())
        os._exit(0)
    os.wait()
    return os.read(reader, 100).decode()

def attempt(run, *arguments):
    try:
        run(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"

NEWUTS, NEWNS, NEWUSER, NEWPID, NEWNET = 0x04000000, 0x20000, 0x10000000, 0x20000000, 0x40000000
def unshare(flags):
    return child(lambda: outcome(libc.unshare(flags)))

def write(path):
    return attempt(lambda: open(path, "a").close())

print("probe " + json.dumps({
    "adjtimex": outcome(libc.adjtimex(ctypes.create_string_buffer(1024))),
    "ptrace": child(lambda: outcome(libc.ptrace(0, 0, 0, 0))),
    "user namespace": unshare(NEWUSER | NEWPID | NEWNET),
    "mount namespace": unshare(NEWUSER | NEWNS),
    "uts namespace": unshare(NEWUSER | NEWUTS),
    "packet socket": attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW),
    "/opt": write("/opt/poster-service/x"), "/etc": write("/etc/x"), "/usr": write("/usr/x"),
    "/home": attempt(os.listdir, "/home"), "control groups": attempt(os.mkdir, "/sys/fs/cgroup/x"),
    "runtime folder": write("/run/poster-service/probed"), "/tmp": write("/tmp/probed"),
    "others": sorted(one for one in os.listdir("/proc") if one == "1"),
}))
os.unlink("/run/poster-service/probed")
"""
#: As PID 1: the control groups are writable from here on and mounts are shared, as on a machine;
#: without the second systemd cannot hand a credential over.
BOOT = (
    "mount --make-rshared /;"
    "for mounted in /sys/fs/cgroup /sys/fs/cgroup/*; do"
    ' if mountpoint -q "$mounted"; then mount -o remount,bind,rw "$mounted"; fi; done;'
    " exec /lib/systemd/systemd"
)
AS_A_MACHINE = (
    "--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
    "--cgroupns=private", "--tmpfs=/run", "--tmpfs=/tmp", "--env=container=docker",
)  # fmt: skip
#: A page that is done after a second, so that a stop finds it under way.
SLOW = "<script>const until = Date.now() + 1000; while (Date.now() < until);</script><p>slow"


@dataclass
class Machine(Container):
    """A container whose PID 1 is systemd, and the unit in it."""

    def shows(self, name: str) -> str:
        """A property of the unit, as systemd has it."""
        return self.exec("systemctl", "show", "--property", name, "--value", UNIT)

    def says(self) -> str:
        """All that the unit has written, and what systemd has about it."""
        return self.exec("journalctl", "--unit", UNIT, "--output", "cat", "--no-pager")

    def processes(self) -> list[int]:
        """The pids of the unit, as the container numbers them."""
        listed = "cat $(find /sys/fs/cgroup -path '*/poster-service.service/cgroup.procs')"
        return sorted({int(one) for one in self.exec("sh", "-c", listed).split()})

    def logs(self) -> str:
        """What there is to say where something has failed."""
        status = self.engine.run("exec", self.name, "systemctl", "status", "--no-pager", UNIT)
        return status.stdout + self.says()


@pytest.fixture(scope="session")
def machine_image(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of a machine with systemd, Chrome, and the service installed as the unit says."""
    context = tmp_path_factory.mktemp("machine")
    passed_over = shutil.ignore_patterns("__pycache__")
    for name in TREE:
        source, target = ROOT / name, context / "tree" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=passed_over)
        else:
            shutil.copy(source, target)
    for path, text in {
        "Dockerfile": DOCKERFILE,
        "probe.py": PROBE,
        "etc/default/poster-service": DEFAULTS,
        "etc/poster-service/tokens": f"web {TOKEN}\n",
        "etc/systemd/system/poster-service.service.d/override.conf": DROP_IN,
    }.items():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).write_text(text)
    tag = f"{image}-systemd"
    done = engine.run(
        "build", "--build-arg", f"BASE={image}", "-t", tag, str(context), seconds=1800
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return tag


@contextlib.asynccontextmanager
async def machine(engine: Engine, image: str) -> AsyncIterator[Machine]:
    """A machine that has booted, its service ready; callers have the token."""
    command = ("sh", "-euc", BOOT)
    async with container(engine, *AS_A_MACHINE, image=image, command=command, kind=Machine) as one:
        assert isinstance(one, Machine)
        one.client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield one


def status_of(one: Machine, pid: int) -> dict[str, str]:
    """/proc/PID/status of a process in the container."""
    text = one.exec("cat", f"/proc/{pid}/status")
    return {
        key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }


async def test_the_unit_serves_and_is_confined(engine: Engine, machine_image: str) -> None:
    """Pictures by token over the network; the sandbox on; filters, limits, nothing to write to."""
    async with machine(engine, machine_image) as one:
        assert one.exec("systemctl", "is-system-running") == "running"
        assert (await one.picture(html="<p>x")).startswith(b"\x89PNG")
        assert (await one.status())["chrome"]["sandbox"] == "on"
        async with one.client.post(
            f"{one.address}/render", headers={"Authorization": ""}
        ) as answer:
            assert answer.status == 401
        assert await one.at_rest()
        pids = one.processes()
        assert len(pids) > 5, "init, the service, the server, a shim, a Chrome of several"
        for seen in [status_of(one, pid) for pid in pids]:
            assert seen["Seccomp"] == "2", seen
            assert seen["NoNewPrivs"] == "1", seen
            assert "0" not in seen["Uid"].split(), seen
            # Chrome's own zygote holds capabilities inside the user namespace that it made.
            assert seen["Name"].startswith("chrom") or int(seen["CapBnd"], 16) == 0, seen
        [line] = re.findall(r"^probe (.*)$", one.says(), re.MULTILINE)
        assert json.loads(line) == {
            "adjtimex": "EPERM", "ptrace": "EPERM", "packet socket": "EAFNOSUPPORT",
            "user namespace": "ok", "mount namespace": "EPERM", "uts namespace": "EPERM",
            "/opt": "EROFS", "/etc": "EROFS", "/usr": "EROFS", "control groups": "EROFS",
            "/home": "EACCES", "runtime folder": "ok", "/tmp": "ok", "others": [],
        }  # fmt: skip
        assert one.shows("TasksMax") == "300"
        assert one.shows("MemoryMax") == str(1500 << 20)


async def test_a_stop_lets_a_render_finish(engine: Engine, machine_image: str) -> None:
    """TERM reaches init alone: the picture arrives, status 0, and no folder is left."""
    async with machine(engine, machine_image) as one:
        await one.picture(html="<p>warm")
        assert await one.at_rest()
        under_way = asyncio.create_task(one.render(html=SLOW, width=50, height=50))

        async def running() -> bool:
            return int((await one.status())["admission"]["running"]) == 1

        while not await running():  # noqa: ASYNC110 - another process's state: no event to wait for
            await asyncio.sleep(0.02)
        await asyncio.to_thread(one.exec, "systemctl", "stop", UNIT)
        status, body = await under_way
        assert (status, body[:4]) == (200, b"\x89PNG"), one.says()
        assert one.shows("ActiveState") == "inactive"
        assert (one.shows("Result"), one.shows("ExecMainStatus")) == ("success", "0"), one.says()
        assert "SIGKILL" not in one.says()
        assert one.exec("sh", "-c", "find /sys/fs/cgroup -name 'poster-service.service'") == ""
        assert (
            one.exec(
                "sh", "-c", "ls -d /run/poster-service /run/private/* 2>&1 | grep -v cannot || :"
            )
            == ""
        )
        one.exec("systemctl", "start", UNIT)
        await one.ready()
        await one.picture(html="<p>again")


async def test_a_stop_in_the_middle_of_a_start_is_no_failure(
    engine: Engine, machine_image: str
) -> None:
    """TERM before the service has a handler for it: init leaves with 143."""
    async with machine(engine, machine_image) as one:
        for _ in range(3):
            one.exec("systemctl", "restart", UNIT)  # it returns once the program is executed
            one.exec("systemctl", "stop", UNIT)
            assert one.shows("Result") == "success", one.says()
            assert one.shows("ActiveState") == "inactive", one.says()


@pytest.mark.parametrize("whom", ["init", "service"])
async def test_a_kill_is_followed_by_a_clean_start(
    engine: Engine, machine_image: str, whom: str
) -> None:
    """SIGKILL in mid-render, to the main process or to the service: a new life, nothing left."""
    async with machine(engine, machine_image) as one:
        lost = asyncio.create_task(one.render(html="<script>for(;;);</script>"))
        await one.picture(html="<p>first life")
        before = one.processes()
        main = int(one.shows("MainPID"))
        child = one.exec("cat", f"/proc/{main}/task/{main}/children").split()[0]
        victim = main if whom == "init" else int(child)
        one.exec("sh", "-c", f"kill -KILL {victim}")
        with contextlib.suppress(Exception):
            await lost
        assert await settled(lambda: one.shows("NRestarts") == "1", 30)
        await one.ready()
        await one.picture(html="<p>second life")
        assert await one.at_rest(), "a zombie, or a Chrome that is not ready"
        assert not set(before) & set(one.processes())
        leases = one.exec("ls", "/run/poster-service").split()
        assert len([name for name in leases if re.fullmatch(r"[0-9a-f]+", name)]) == 1, leases
        one.exec("systemctl", "stop", UNIT)
        assert one.shows("Result") == "success"
