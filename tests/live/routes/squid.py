"""Squid as a corporate proxy, with authentication."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from tests.live.routes.daemon import Daemon, room
from tests.live.routes.namespaces import Namespace
from tests.live.support import await_that, needs

PORT = 3128
BANNED = "banned.example"
_BASIC = Path("/usr/lib/squid/basic_ncsa_auth")

_CONFIGURATION = """
{ports}
visible_hostname {name}
{credentials}
acl banned dstdomain -n .{banned}
http_access deny banned
{access}
http_access deny all

# Origins are where this file says, and nowhere else.
hosts_file {directory}/hosts
dns_nameservers {address}
dns_timeout 1 seconds
dns_retransmit_interval 1 seconds
connect_timeout 5 seconds

cache deny all
cache_mem 8 MB
memory_pools off
max_filedescriptors 1024
shutdown_lifetime 0 seconds
client_db off
pinger_enable off
netdb_filename none
cache_log stdio:/dev/stderr
cache_store_log none
coredump_dir {directory}
pid_filename none
logformat asked %>p %rm %ru %>Hs %un
access_log stdio:{directory}/access.log logformat=asked
"""

_CREDENTIALS = """
auth_param basic program {program} {directory}/users
auth_param basic children 2 startup=1 idle=1
auth_param basic realm the way out
auth_param basic credentialsttl 1 hours
acl known proxy_auth REQUIRED
"""


@frozen
class Asked:
    """A request that reached Squid, in its own words.

    Attributes:
        port: of the other end of its connection.
        method: as it came.
        target: `host:port` for a tunnel, else a URL.
        status: of its answer.
        user: who asked, or "-".
    """

    port: int
    method: str
    target: str
    status: int
    user: str


def _hashed(password: str) -> str:
    # Of the forms that its program takes this is the only one that Python can make by itself.
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()


def needs_squid() -> None:
    """Skip the test where Squid is not installed, or fail it where nothing may be missing."""
    needs("squid", "squid is not installed")
    needs(_BASIC.exists, "squid has no basic_ncsa_auth")


class Squid(Daemon):
    """A running Squid.

    Attributes:
        address: the first one that it listens on, on port 3128.
    """

    # Asked to end, it takes its time; what it has logged is written.
    farewell = signal.SIGKILL

    def __init__(
        self,
        namespace: Namespace,
        addresses: tuple[str, ...],
        hosts: Mapping[str, tuple[str, ...]],
        users: Mapping[str, str],
    ) -> None:
        """Start it.

        Args:
            namespace: where.
            addresses: where it listens.
            hosts: the names that it can resolve.
            users: whom it lets out, with their passwords; if empty, everybody.
        """
        super().__init__(namespace, room())
        self.address = address = addresses[0]
        directory = self.directory
        lines = (f"{each} {name}\n" for name, known in hosts.items() for each in known)
        (directory / "hosts").write_text("".join(lines), "ascii")
        users_file = "".join(f"{user}:{_hashed(word)}\n" for user, word in users.items())
        (directory / "users").write_text(users_file, "ascii")
        words = _CONFIGURATION.format(
            address=address,
            ports="\n".join(f"http_port {f'[{each}]' if ':' in each else each}:{PORT}" for each in addresses),
            name=f"squid-at-{address}",
            banned=BANNED,
            credentials=_CREDENTIALS.format(program=_BASIC, directory=directory) if users else "",
            access="http_access allow known" if users else "http_access allow all",
            directory=directory,
        )
        configuration = directory / "squid.conf"
        configuration.write_text(words, "ascii")
        self.start(["squid", "-N", "-f", configuration], (address, PORT))

    def asked(self) -> list[Asked]:
        """Give what reached it. A tunnel is there when it has ended."""
        path = self.directory / "access.log"
        lines = path.read_text("utf-8", "replace").splitlines(keepends=True) if path.exists() else []
        words = (line.split() for line in lines if line.endswith("\n"))
        return [Asked(int(port), method, target, int(status), user) for port, method, target, status, user in words]

    def await_asked(self, authority: str, count: int = 1) -> list[Asked]:
        """Wait until it was asked for something at `host:port` so often, and give all of that."""

        def found() -> list[Asked]:
            return [each for each in self.asked() if each.target.removeprefix("http://").split("/")[0] == authority]

        await_that(lambda: len(found()) >= count, lambda: f"{authority}: {self.asked()} {self.said()}")
        return found()
