# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a customer's authority publishes what it has revoked: a CRL on nginx, and an OCSP responder."""

import os

from .server import WebServer

CRL_PORT = 80
OCSP_PORT = 8888


class StatusServer:
    """On HOST; `crl` and `ocsp` are the addresses that certificates name."""

    def __init__(self, run, host, address, authority):
        self.authority = authority
        self.crl = f"http://{address}/ca.crl"
        self.ocsp = f"http://{address}:{OCSP_PORT}"
        self.web = WebServer(run, host, address=address, port=CRL_PORT)
        self._host = host
        self._address = address

    def publish(self, *revoked, **options):
        """A new CRL; nginx may be running or not."""
        with open(os.path.join(self.web.documents, "ca.crl"), "wb") as file:
            file.write(self.authority.revocation_list(*revoked, **options))

    def start_responder(self, *revoked):
        process = self._host.start(
            "openssl", "ocsp", "-index", self.authority.index(*revoked), "-port", str(OCSP_PORT),
            "-rsigner", self.authority.certificate, "-rkey", self.authority.key, "-CA",
            self.authority.certificate, "-ndays", "1", name="ocsp")
        self.web.wait_listening(process, OCSP_PORT)
        return process

    def start_silent(self, port):
        """Takes connections and never answers."""
        process = self._host.start(
            "/usr/bin/python3", "-c", "import signal, socket, sys\n"
            "listener = socket.create_server((sys.argv[1], int(sys.argv[2])))\n"
            "signal.pause()", self._address, str(port), name="silent")
        self.web.wait_listening(process, port)

    def questions(self):
        """How often the CRL was fetched."""
        return self.web.requests_served()
