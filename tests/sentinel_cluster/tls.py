"""Certificates for servers on this machine, and servers that use TLS with them or run without TLS."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

from deploy.local.ports import free_port
from deploy.local.process import ProcessGroup
from tests.support.servers import Server

_MEMORY = 64 << 20


@dataclass(frozen=True)
class Tls:
    """Everything that servers need for TLS.

    Attributes:
        binary: a Redis with TLS. The embedded Valkey was built without it.
        authority: the certificate of the authority that signed the servers' certificate, for clients.
    """

    binary: Path
    authority: Path
    certificate: Path

    @classmethod
    def made(cls, folder: Path, *names: str) -> Tls:
        """Make a new authority, and one certificate of the servers for these names and addresses.

        Raises:
            FileNotFoundError: this machine has no Redis with TLS.
        """
        binary = shutil.which("redis-server")
        if binary is None:
            raise FileNotFoundError("no redis-server here: apt-get install redis-server")
        authority = trustme.CA()
        files = cls(Path(binary), folder / "authority.pem", folder / "server.pem")
        authority.cert_pem.write_to_path(str(files.authority))
        authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(files.certificate))
        return files

    def settings(self, port: int) -> list[tuple[str, str]]:
        """Return names and values for a server that uses TLS at `port` and to others. Clients need no certificate."""
        return [
            ("tls-port", str(port)),
            ("tls-cert-file", str(self.certificate)),
            ("tls-key-file", str(self.certificate)),
            ("tls-ca-cert-file", str(self.authority)),
            ("tls-auth-clients", "no"),
            ("tls-replication", "yes"),
        ]

    def options(self, port: int) -> list[str]:
        """Return the settings as command-line arguments."""
        return [word for name, value in self.settings(port) for word in (f"--{name}", value)]


class Member(Server):
    """One of several servers that find each other in the same way as clients find them.

    Attributes:
        port: the port that the tests connect to, never over TLS.
        announced: the port for clients and the other servers. It is the same port, unless they use TLS.
    """

    def __init__(
        self, name: str, folder: Path, options: Sequence[str], *, group: ProcessGroup, tls: Tls | None = None
    ) -> None:
        tls_port = free_port()
        super().__init__(
            name,
            folder,
            [*options, *(tls.options(tls_port) if tls else ())],
            maxmemory=_MEMORY,
            group=group,
            sink=lambda _line: None,
            binary=tls.binary if tls else None,
        )
        self.announced = tls_port if tls else self.port
