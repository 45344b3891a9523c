# SPDX-License-Identifier: GPL-2.0-or-later
"""A DNS server, dnsmasq, on one host, which another one asks."""

import os
import signal

from .host import wait_until


class NameServer:
    """Answers for the names that it was given, and for no other; its records live for a second."""

    def __init__(self, run, host, address):
        self._records = run.path(f"{host.name}-records")
        self._address = address
        self._host = host
        self._process = None
        self.set_names({})

    def set_names(self, names):
        """NAMES: a dictionary of name to addresses; those before are gone."""
        with open(self._records, "w", encoding="utf-8") as records:
            for name, addresses in names.items():
                records.writelines(f"{address} {name}\n" for address in addresses)
        os.chmod(self._records, 0o644)
        if self._process:
            read = self._times_read()
            self._process.send_signal(signal.SIGHUP)
            wait_until(lambda: self._times_read() > read, 10, "dnsmasq reads its records again")

    def _times_read(self):
        return self._process.output().count(f"read {self._records}")

    def start(self):
        self._process = self._host.start(
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            f"--addn-hosts={self._records}", "--local-ttl=1", "--log-facility=-", "--log-queries",
            "--bind-interfaces", f"--listen-address={self._address}", "--except-interface=lo",
            "--user=root", "--pid-file=", name="dnsmasq")
        wait_until(lambda: self._process.require_running() or self._times_read(), 10,
                   "dnsmasq is ready")

    def questions(self, name):
        """How often it was asked for an address of NAME."""
        return self._process.output().count(f"query[A] {name} ")
