"""What is compared: the ways in which such a service is usually started, ours among them."""

from dataclasses import dataclass

NODE = ("node", "server.js")
#: Where init.py is put into a container; it is run as docs/init.md says.
INIT_PLACE = "/opt/init.py"
OURS = ("/usr/bin/python3", "-I", "-S", "-E", INIT_PLACE, "--")
NPM = ("npm", "start")  # a shell stands between it and the application
#: The parent that waits for its own child only, and is no subreaper.
MANAGER = ("/usr/bin/python3", "/app/manager.py")
#: What systemd needs to be PID 1 of a container: privileges (but CAP_SYS_RESOURCE, which not every
#: machine has to give), control groups of its own, and the signal that it shuts down by.
AS_A_MACHINE = (
    "--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
    "--cgroupns=private", "--tmpfs=/run", "--tmpfs=/tmp", "--env=container=docker",
    "--stop-signal=SIGRTMIN+3",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One way to start the service."""

    name: str  # for --only
    title: str  # for the table, in Markdown
    command: tuple[str, ...]
    options: tuple[str, ...] = ()  # of `docker create`

    @property
    def is_ours(self) -> bool:
        """Whether init.py has to be put into the container."""
        return INIT_PLACE in self.command

    @property
    def plain_title(self) -> str:
        """The title without Markdown, for the plot."""
        return self.title.replace("`", "").replace("*", "")


ROWS = (
    Row("node", "`node server.js`", NODE),
    Row("npm", "`npm start`", NPM),
    Row("python", "`python server.py`", ("python", "server.py")),
    Row("sh", "`sh -c 'node server.js'`", ("sh", "-c", "node server.js")),
    Row("bash", "`bash -c 'node server.js'`", ("bash", "-c", "node server.js")),
    Row(
        "bash-more", "`bash -c 'node server.js; echo ended'`",
        ("bash", "-c", "node server.js; echo ended"),
    ),
    Row("tini", "`tini -- node server.js`", ("tini", "--", *NODE)),
    Row("dumb-init", "`dumb-init -- node server.js`", ("dumb-init", "--", *NODE)),
    Row("tini-npm", "`tini -- npm start`", ("tini", "--", *NPM)),
    Row("dumb-init-npm", "`dumb-init -- npm start`", ("dumb-init", "--", *NPM)),
    Row("docker-init", "`docker run --init`, `node server.js`", NODE, ("--init",)),
    Row("systemd", "systemd, `node server.js` as a unit", ("/app/systemd.sh",), AS_A_MACHINE),
    Row("manager", "a parent that waits for no strangers, `node server.js`", (*MANAGER, *NODE)),
    Row("subreaper", "the same parent, **ours** as its child", (*MANAGER, *OURS, *NODE)),
    Row("ours-npm", "**ours**: `init.py -- npm start`", (*OURS, *NPM)),
    Row("ours", "**ours**: `init.py -- node server.js`", (*OURS, *NODE)),
)  # fmt: skip
