"""The network of the hostile world and its certificate: made first, in a process of its own.

aiohttp reads whom it believes when it is imported, so the world is another process; and this one,
which only waits for it, imports nothing large.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: Where hostile servers live: addresses of the public network.
PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1::1"
#: What no page may reach, by default.
FORBIDDEN = (
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.7.7", "169.254.169.254",
    "100.64.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.9", "0.0.0.0",
    "::1", "fd00:ec2::254", "fe80::5", "2002:a00:1::1", "64:ff9b::a00:1", "fec0::1",
)  # fmt: skip
#: Names and what they lead to: each question gets the next answer, the last one for ever.
NAMES: dict[str, list[str]] = {
    "hostile.test": [PUBLIC],
    "other.test": [PUBLIC],
    "six.test": [PUBLIC_6],
    "inside.test": ["10.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "loop.test": ["127.0.0.1"],
    "mapped.test": ["::ffff:10.0.0.1"],
    "loop6.test": ["::1"],
    "metadata6.test": ["fd00:ec2::254"],
    "sixtofour.test": ["2002:a00:1::1"],
    "nat64.test": ["64:ff9b::a00:1"],
    "both.test": [PUBLIC + " 10.0.0.1"],
    "rebind.test": [PUBLIC, "10.0.0.1"],
    "rebind-at-once.test": [PUBLIC, "127.0.0.1"],
}
#: Names below this one are never answered for, and all below that one are hostile servers'.
SILENT, MANY = ".silent.test", ".many.test"


def make_network() -> None:
    """Interfaces, addresses and routes, so that every packet has somewhere to go."""
    # All on lo: a kernel without the dummy driver has it too, and what is sent to anywhere else
    # is seen on it by the raw socket, and dropped.
    for line in (
        "link set lo up",
        *(
            f"addr add {one}/{128 if ':' in one else 32} dev lo" + (" nodad" if ":" in one else "")
            for one in (PUBLIC, PUBLIC_6, *FORBIDDEN)
            if one not in ("127.0.0.1", "::1", "0.0.0.0", "127.8.9.1")
        ),
        "route add default dev lo",
        "-6 route add default dev lo",
    ):
        subprocess.run(["ip", *line.split()], check=True)
    conf = Path(tempfile.mkdtemp()) / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\noptions timeout:3 attempts:2\n")
    subprocess.run(["mount", "--bind", conf, os.path.realpath("/etc/resolv.conf")], check=True)
    conf.unlink()
    conf.parent.rmdir()


def make_certificate(folder: Path) -> None:
    """HostileServers have certificates that all clients trust; here the service trusts ours."""
    names = [f"DNS:{name}" for name in (*NAMES, "*" + MANY)] + [
        f"IP:{one}" for one in (PUBLIC, PUBLIC_6)
    ]
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=" + ",".join(names),
         "-keyout", folder / "key", "-out", folder / "certificate"],
        check=True, capture_output=True,
    )  # fmt: skip


def main() -> None:
    """Make the network and the certificate, and run the world in them."""
    make_network()
    with tempfile.TemporaryDirectory(prefix="c") as folder:
        make_certificate(Path(folder))
        environment = {**os.environ, "SSL_CERT_FILE": f"{folder}/certificate"}
        subprocess.run([sys.executable, "-m", "tests.hostile.world"], env=environment, check=True)


if __name__ == "__main__":
    main()
