# SPDX-License-Identifier: GPL-2.0-or-later
"""What the customer runs: a stock strongSwan server with its LAN, and a web server in that LAN."""

import os
import shutil
import socket
import subprocess
import sys

from .host import wait_until
from .vici import Vici

PAGE = "<body><h1>Hello world!</h1></body></html>"

# The kernel need not know ESP: kernel-libipsec does it in user space.
_PLUGINS = """random nonce openssl kdf gcm pem pkcs1 pkcs8 pubkey x509 revocation constraints eap-identity \
eap-mschapv2 eap-tls vici kernel-libipsec kernel-netlink socket-default updown"""

def _sections(settings, depth=0):
    """Nested dictionaries in swanctl.conf's and strongswan.conf's syntax."""
    indent = "\t" * depth
    lines = []
    for key, value in settings.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key} {{", _sections(value, depth + 1), f"{indent}}}"]
        else:
            lines.append(f"{indent}{key} = {value}" if value is not None else f"{indent}{key}")
    return "\n".join(lines)


def _copy_of(program, directory):
    """An unmodified copy elsewhere: Debian's AppArmor profiles tie the original to /etc."""
    copy = os.path.join(directory, os.path.basename(program))
    if not os.path.exists(copy):
        shutil.copy2(program, copy)
    return copy


class VpnServer:
    """A strongSwan gateway in front of a LAN, configured as customers do.

    Accounts with EAP-MSCHAPv2, the server with a certificate; virtual addresses from a pool that
    the LAN routes back; UDP encapsulation forced; `uniqueids` default, no rekeying of its own.
    `connections`, `pools`, `secrets` and `settings` may be changed before start().
    """

    protocol = "ipsec"

    def __init__(self, run, host, authority, *, address, identity, pool, account, password, psk):
        self.host = host
        self.address = address
        self.identity = identity
        self.account = account
        self.password = password
        self.psk = psk
        self._run = run
        self._directory = run.path(host.name)
        self._vici = f"unix://{self._directory}/charon.vici"
        self.process = None
        self._ipsec_conf = None
        for part in ("x509", "x509ca", "private"):
            os.makedirs(os.path.join(self._directory, part))
        self.use_certificate(*authority.issue(identity, address))
        common = {"local_addrs": address, "pools": "office", "encap": "yes", "rekey_time": 0,
                  "dpd_delay": "300s"}
        office = {"local_ts": "0.0.0.0/0", "rekey_time": 0}
        self.connections = {
            "accounts": {**common, "send_cert": "always",
                         "local": {"auth": "pubkey", "certs": "server.pem", "id": identity},
                         "remote": {"auth": "eap-mschapv2", "eap_id": "%any"},
                         "children": {"office": dict(office)}},
            "shared": {**common, "local": {"auth": "psk", "id": identity},
                       "remote": {"auth": "psk"}, "children": {"office-shared": dict(office)}}}
        self.pools = {"office": {"addrs": pool}}
        self.secrets = {"eap-account": {"id": account, "secret": f'"{password}"'},
                        "ike-shared": {"secret": f'"{psk}"'}}
        self.settings = {"load": _PLUGINS, "plugins": {"vici": {"socket": self._vici}},
                         "filelog": {"stderr": {"default": 1, "time_format": "%H:%M:%S",
                                                "flush_line": "yes"}},
                         "syslog": {"daemon": {"default": -1}, "auth": {"default": -1}}}
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    @property
    def accounts(self):
        """The connection for accounts."""
        return self.connections["accounts"]

    def use_certificate(self, key, certificate, *chain):
        """What the server proves its identity with; CHAIN: intermediate CAs that it sends too."""
        shutil.copy(key, os.path.join(self._directory, "private", "server.pem"))
        shutil.copy(certificate, os.path.join(self._directory, "x509", "server.pem"))
        for path in chain:
            self.trust(path)

    def trust(self, authority):
        """Clients' certificates may be issued by this one."""
        shutil.copy(authority, os.path.join(self._directory, "x509ca",
                                            authority.replace("/", "-").lstrip("-")))

    def _write(self, name, text):
        with open(os.path.join(self._directory, name), "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def set_unique(self, policy):
        """What becomes of an account that logs in twice: no (default), never, keep, replace."""
        for connection in self.connections.values():
            connection["unique"] = policy

    def use_ipsec_conf(self):
        """The accounts' connection by the old way: ipsec.conf, with its defaults, and `starter`."""
        self.settings["load"] += " stroke"
        self.settings["plugins"]["stroke"] = {"secrets_file": f"{self._directory}/ipsec.secrets"}
        self._ipsec_conf = os.path.join(self._directory, "ipsec.conf")

    def _write_ipsec_conf(self):
        self._write("ipsec.conf", f"""\
config setup

conn accounts
	left={self.address}
	leftid=@{self.identity}
	leftcert={self._directory}/x509/server.pem
	leftsendcert=always
	leftsubnet=0.0.0.0/0
	right=%any
	rightauth=eap-mschapv2
	eap_identity=%any
	rightsourceip={self.pools["office"]["addrs"]}
	forceencaps=yes
	dpddelay=300s
	rekey=no
	auto=add
""")
        self._write("ipsec.secrets", f"""\
: RSA {self._directory}/private/server.pem
{self.account} : EAP "{self.password}"
""")

    def start(self):
        programs = self._run.path("bin")
        os.makedirs(programs, exist_ok=True)
        charon = _copy_of("/usr/lib/ipsec/charon", programs)
        self._write("strongswan.conf", _sections({"charon": self.settings}))
        command = [charon]
        if self._ipsec_conf:
            self._write_ipsec_conf()
            command = ["/usr/lib/ipsec/starter", "--nofork", "--conf", self._ipsec_conf]
        # pid files have fixed names: each instance gets a /run of its own.
        self.process = self.host.start(
            "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh", *command,
            name=self.host.name, env=self._environment())
        wait_until(lambda: self.process.require_running() or self._is_listening(), 20,
                   f"charon of {self.host.name} opens its socket")
        if self._ipsec_conf:
            wait_until(lambda: "accounts" in self.swanctl("--list-conns"), 20,
                       "starter has loaded its connection")
        else:
            self.reload()

    def accept_only(self, esp_proposal):
        """From now on no other ESP proposal; who is connected is thrown out."""
        self.accounts["children"]["office"]["esp_proposals"] = esp_proposal
        self.reload()
        self.swanctl("--terminate", "--ike", "accounts", "--force")

    def _is_listening(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self._vici.removeprefix("unix://")) == 0

    def reload(self):
        """Takes the connections, pools, secrets and certificates as they are now."""
        self._write("swanctl.conf", _sections({
            "connections": self.connections, "pools": self.pools, "secrets": self.secrets}))
        self.swanctl("--load-all", "--clear", "--noprompt", "--file",
                     os.path.join(self._directory, "swanctl.conf"))

    def use_debian_defaults(self):
        """The plugins, and with them the proposals, that Debian's packages bring."""
        del self.settings["load"]
        self.settings["load_modular"] = "yes"
        self.settings["plugins"] = {"include /etc/strongswan.d/charon/*.conf": None,
                                    "kernel-libipsec": {"load": "yes"},
                                    **self.settings["plugins"]}

    def stop(self):
        """The administrator stops it: clients are told."""
        self.process.stop()
        self.process = None

    def kill(self):
        """The machine dies: no message to anybody."""
        self.process.kill()
        os.unlink(self._vici.removeprefix("unix://"))
        self.process = None

    def _environment(self):
        return {"STRONGSWAN_CONF": os.path.join(self._directory, "strongswan.conf"),
                "SWANCTL_DIR": self._directory}

    def swanctl(self, *argv, check=True):
        swanctl = _copy_of("/usr/sbin/swanctl", self._run.path("bin"))
        return self.host.run(swanctl, argv[0], "--uri", self._vici, *argv[1:], check=check,
                             env=self._environment()).stdout

    def list_sas(self):
        return self.swanctl("--list-sas")

    def vici(self):
        """Its control socket, for many commands in a row."""
        return Vici(self._vici.removeprefix("unix://"))

    def rekey_ike(self, connection="accounts"):
        self.swanctl("--rekey", "--ike", connection)

    def rekey_child(self, child="office"):
        self.swanctl("--rekey", "--child", child)


# Accepts connections and writes a numbered line every 10 ms on each, until the peer goes away.
_TICKER = """
import socket, socketserver, sys, time
class Ticker(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = 0
        try:
            while True:
                self.request.sendall(b"%d\\n" % number)
                number += 1
                time.sleep(0.01)
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
Server((sys.argv[1], int(sys.argv[2])), Ticker).serve_forever()
"""

# Answers each datagram with its source as the server saw it, a blank, and the datagram's bytes backwards.
_ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind((sys.argv[1], int(sys.argv[2])))
    while True:
        data, source = s.recvfrom(65535)
        s.sendto(b"%s " % source[0].encode() + data[::-1], source)
"""


class WebServer:
    """nginx on a machine of the customer's LAN; and on request other services."""

    def __init__(self, run, host, *, address, port, page=PAGE):
        self.host = host
        self.address = address
        self.port = port
        self._run = run
        self._directory = run.path(host.name)
        self.documents = os.path.join(self._directory, "documents")
        os.makedirs(self.documents)
        os.makedirs(os.path.join(self._directory, "temporary"))
        self._write_document("index.html", page)
        self.process = None

    def _write_document(self, name, text):
        with open(os.path.join(self.documents, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        temporary = os.path.join(self._directory, "temporary")
        paths = "\n".join(f"\t{kind}_temp_path {temporary};" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        configuration = os.path.join(self._directory, "nginx.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f"""\
daemon off;
user root;
worker_processes 1;
pid {self._directory}/nginx.pid;
error_log {self._directory}/error.log;
events {{
	worker_connections 2048;
}}
http {{
{paths}
	access_log {self._directory}/access.log;
	default_type text/html;
	server {{
		listen {self.address}:{self.port} backlog=1024;
		root {self.documents};
	}}
}}
""")
        self.process = self.host.start("nginx", "-c", configuration, "-e",
                                       f"{self._directory}/error.log", name=self.host.name)
        self.wait_listening(self.process, self.port)

    def wait_listening(self, process, port, sockets="-Hltn"):
        wait_until(lambda: process.require_running() or
                   self.host.run("ss", sockets, f"sport = :{port}").stdout, 10,
                   f"something listens on port {port} of {self.host.name}")

    def add_document(self, name, megabytes):
        """A file of random bytes; returns its SHA-256 in hexadecimal."""
        path = os.path.join(self.documents, name)
        subprocess.run(["dd", "if=/dev/urandom", f"of={path}", "bs=1M", f"count={megabytes}",
                        "status=none"], stdin=subprocess.DEVNULL, check=True)
        return subprocess.run(["sha256sum", path], stdin=subprocess.DEVNULL, check=True,
                              capture_output=True, text=True).stdout.split()[0]

    def requests_served(self):
        with open(os.path.join(self._directory, "access.log"), encoding="utf-8") as log:
            return sum(1 for _ in log)

    def start_ticker(self, port):
        process = self.host.start(sys.executable, "-c", _TICKER, self.address, str(port),
                                  name=f"{self.host.name}-ticker")
        self.wait_listening(process, port)

    def start_udp_echo(self, port):
        process = self.host.start(sys.executable, "-c", _ECHO, self.address, str(port),
                                  name=f"{self.host.name}-echo")
        self.wait_listening(process, port, "-Hlun")
        return process

    def start_iperf3(self, port):
        process = self.host.start("iperf3", "--server", "--bind", self.address, "--port", str(port),
                                  name=f"{self.host.name}-iperf3")
        self.wait_listening(process, port)
        return process
