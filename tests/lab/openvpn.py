# SPDX-License-Identifier: GPL-2.0-or-later
"""What customers run who do not run strongSwan: a stock OpenVPN server with its LAN."""

import ipaddress
import os
import shutil
import socket

from .host import wait_until

PORT = 1194
OPENVPN = "/usr/sbin/openvpn"
PAM_PLUGIN = "/usr/lib/openvpn/openvpn-plugin-auth-pam.so"

# openvpn writes account and password to a file, a line each, and wants a status. What is in another
# file, it tells the client.
_VERIFY = """\
#!/bin/sh
{ read -r account; read -r password; } <"$1"
[ "$account" != locked ] || echo "this account is locked" >"$auth_failed_reason_file"
exec grep --quiet --line-regexp --fixed-strings "$account:$password" "{accounts}"
"""

# PAM's pam_exec: the account is in the environment, the password comes in, ended by a NUL.
_VERIFY_PAM = """\
#!/bin/sh
password=$(tr -d '\\0')
exec grep --quiet --line-regexp --fixed-strings "$PAM_USER:$password" "{accounts}"
"""


def _write(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w",
              encoding="utf-8") as file:
        file.write(text)
    return path


class OpenvpnServer:
    """An OpenVPN server in front of a LAN, configured as customers do.

    Accounts with passwords and no certificates, the server with one; addresses from a pool that the
    LAN routes back. `settings` are directives by name: their arguments as a string, or None where a
    default below is not wanted; `pushes` are what clients are told. Both may be changed before
    start(), or before restart().
    """

    protocol = "openvpn"

    def __init__(self, run, host, authority, *, address, identity, pool, account, password):
        self.host = host
        self.address = address
        self.identity = identity
        self.account = account
        self.password = password
        self.authority = authority
        self.process = None
        self.wrapping = None  # directive and its key file at the client, see wrap()
        self._run = run
        self._directory = run.path(host.name)
        os.makedirs(self._directory)
        os.chmod(self._directory, 0o755)
        self._management = self._path("management")
        network = ipaddress.ip_network(pool)
        accounts = self._path("accounts")
        key, certificate = authority.issue_as_easy_rsa(identity)
        self.settings = {
            "server": f"{network.network_address} {network.netmask}", "topology": "subnet",
            "dev": "tun0", "disable-dco": "", "local": address, "port": str(PORT), "proto": "udp4",
            "ca": authority.certificate, "cert": certificate, "key": key, "dh": "none",
            "verify-client-cert": "none", "username-as-common-name": "", "script-security": "2",
            "auth-user-pass-verify": f"{self._path('verify')} via-file",
            "keepalive": "10 120", "management": f"{self._management} unix", "verb": "4",
            "status": f"{self._path('status')} 1"}
        self.pushes = ["route 192.168.100.0 255.255.255.0"]
        _write(accounts, "")
        _write(self._path("verify"), _VERIFY.replace("{accounts}", accounts), 0o755)
        self.add_account(account, password)
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def _path(self, name):
        return os.path.join(self._directory, name)

    # ---- what it may be told before it starts ----

    def add_account(self, account, password):
        with open(self._path("accounts"), "a", encoding="utf-8") as file:
            file.write(f"{account}:{password}\n")

    def remove_accounts(self):
        """Whoever authenticates from now on is refused."""
        _write(self._path("accounts"), "")

    def use_certificate(self, key, certificate):
        self.settings.update(key=key, cert=certificate)

    def use_pam(self):
        """Accounts by Debian's PAM plugin, with a service of this host's own /etc/pam.d."""
        directory = f"/etc/netns/{self.host.namespace}/pam.d"
        script = _write(self._path("verify-pam"),
                        _VERIFY_PAM.replace("{accounts}", self._path("accounts")), 0o755)
        shutil.copytree("/etc/pam.d", directory, symlinks=True)
        _write(f"{directory}/openvpn-lab", f"auth required pam_exec.so quiet expose_authtok {script}\n"
                                           "account required pam_permit.so\n", 0o644)
        self.settings["auth-user-pass-verify"] = None
        self.settings["plugin"] = f"{PAM_PLUGIN} openvpn-lab"

    def require_certificates(self, with_accounts=False):
        """Clients show a certificate of the same authority; without WITH_ACCOUNTS that is all."""
        self.settings["verify-client-cert"] = "require"
        if not with_accounts:
            self.settings.update({"auth-user-pass-verify": None, "username-as-common-name": None})

    def wrap(self, kind, direction=None):
        """Control packets are wrapped: KIND is "tls-auth", "tls-crypt" or "tls-crypt-v2"."""
        key = self._path("wrapping.key")
        if kind == "tls-crypt-v2":
            self.host.run(OPENVPN, "--genkey", "tls-crypt-v2-server", key)
            client = self._path("wrapping-client.key")
            self.host.run(OPENVPN, "--tls-crypt-v2", key, "--genkey", "tls-crypt-v2-client", client)
            self.settings[kind] = key
            self.wrapping = (kind, client, None)
            return
        self.host.run(OPENVPN, "--genkey", "secret", key)
        self.settings[kind] = key if direction is None else f"{key} {1 - direction}"
        self.wrapping = (kind, key, direction)

    # ---- its life ----

    def _configuration(self):
        lines = [f"{name} {value}".rstrip() for name, value in self.settings.items()
                 if value is not None]
        return "\n".join(lines + [f'push "{push}"' for push in self.pushes]) + "\n"

    def start(self):
        _write(self._path("server.conf"), self._configuration())
        self.process = self.host.start(OPENVPN, "--config", self._path("server.conf"),
                                       name=self.host.name)
        ready = "Initialization Sequence Completed"
        count = self.process.output().count(ready)
        wait_until(lambda: self.process.require_running()
                   or self.process.output().count(ready) > count or self._is_listening(), 20,
                   f"openvpn of {self.host.name} is ready")

    def _is_listening(self):
        """It serves its management socket after it opened the one of the network."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self._management) == 0 and b">INFO" in client.recv(64) and \
                bool(self.host.run("ss", "-Hln", f"sport = :{self.settings['port']}").stdout)

    def stop(self):
        """The administrator stops it; with `explicit-exit-notify` clients are told."""
        self.process.stop()
        self.process = None

    def kill(self):
        """The machine dies: no message to anybody."""
        self.process.kill()
        self.process = None

    def restart(self):
        self.stop()
        self.start()

    def command(self, line):
        """What the management interface answers to LINE."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(self._management)
            client.sendall(f"{line}\n".encode())
            answer = []
            with client.makefile("r", encoding="utf-8") as lines:
                for text in lines:
                    if text.startswith(">"):
                        continue
                    answer.append(text.rstrip("\r\n"))
                    if answer[-1] == "END" or text.startswith(("SUCCESS:", "ERROR:")):
                        break
        return "\n".join(answer)

    def clients(self):
        """Who is logged in: (name, address and port, address inside) of each."""
        rows = [line.split(",") for line in self.command("status 2").splitlines()]
        return [(row[1], row[2], row[3]) for row in rows if row[0] == "CLIENT_LIST"]

    def list_sas(self):
        return self.command("status 2")

    def counted(self, text):
        """How often its log says TEXT."""
        return self.process.output().count(text)

    # ---- what its clients are given ----

    def profile(self, *, certificate=None, key=None, remotes=None, extra=()):
        """The file that the customer hands out, with everything inline; CERTIFICATE and KEY are
        paths."""
        transport = "tcp-client" if self.settings["proto"].startswith("tcp") else "udp"
        lines = ["client", "dev tun", f"proto {transport}", "nobind", "persist-key", "persist-tun",
                 "resolv-retry infinite", "remote-cert-tls server", "verb 3",
                 *(f"remote {remote}" for remote in
                   remotes or [f"{self.address} {self.settings['port']}"])]
        if self.settings["auth-user-pass-verify"] or self.settings.get("plugin"):
            lines.append("auth-user-pass")
        if self.wrapping and self.wrapping[2] is not None:
            lines.append(f"key-direction {self.wrapping[2]}")
        lines += extra
        blocks = {"ca": self.authority.certificate, "cert": certificate, "key": key}
        if self.wrapping:
            blocks[self.wrapping[0]] = self.wrapping[1]
        for name, path in blocks.items():
            if path:
                with open(path, encoding="utf-8") as file:
                    lines += [f"<{name}>", file.read().rstrip("\n"), f"</{name}>"]
        return "\n".join(lines) + "\n"
