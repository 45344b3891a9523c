# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway under test: its configuration files and its two processes."""

import dataclasses
import json
import os
import shutil
import socket

from .host import Heir, LabError, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program(name):
    """A program of the build directory that SALLYPORT_BUILD names (default: build)."""
    build = os.path.join(ROOT, os.environ.get("SALLYPORT_BUILD", "build"))
    for directory in ("dataplane", "controlplane", "cli", "."):
        path = os.path.join(build, directory, name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise LabError(f"no program {name} in {build}: run scripts/setup")


@dataclasses.dataclass
class Server:
    """A server of an environment, as the configuration has it."""

    name: str
    address: str
    identity: str  # empty: left out
    account: str  # empty: left out
    secret: str
    auth: str = "eap-mschapv2"
    protocol: str = "ipsec"
    profile: str = ""  # OpenVPN: the text of a profile, in place of all but account and secret
    secret_files: dict = dataclasses.field(default_factory=dict)  # further ones: paths by key
    authority: str = ""
    key: str = ""  # of our certificate: paths
    certificate: str = ""
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Environment:
    """A file of environments.d."""

    name: str
    pod_address: str
    sources: list
    servers: list
    forwards: dict  # by port: the target, or all settings but the port
    options: dict = dataclasses.field(default_factory=dict)


def _value(value):
    """VALUE in libconfig's syntax."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return _group(value)
    return str(value)


def _group(settings):
    return "{ " + " ".join(f"{key} = {_value(value)};" for key, value in settings.items()) + " }"


class Gateway:
    """sallyport-dataplane and sallyport-controlplane on a host with an uplink and a cluster port.

    The host's kernel has no address on the two interfaces: only the dataplane speaks there.
    """

    def __init__(self, run, host, *, uplink, cluster, environments, dataplane=None,
                 controlplane=None, egress="", name=""):
        """UPLINK and CLUSTER: the settings of gateway.uplink and gateway.cluster. EGRESS: that group,
        in libconfig's syntax. NAME: where there are several of them."""
        self.host = host
        self._run = run
        self.instance = run.name + name
        self.config_dir = run.path(f"config{name}")
        self.run_dir = run.path(f"run{name}")
        self.dataplane = None
        self.controlplane = None
        self._uplink = uplink
        self._cluster = cluster
        self.dataplane_settings = {"idle": "adaptive", "hugepages": "off", "workers": 1,
                                    "sessions": 65536, **(dataplane or {})}
        self._controlplane_settings = controlplane or {}
        self._egress = egress
        self.configure(environments)

    def _path(self, *parts):
        return os.path.join(self.config_dir, *parts)

    def _write(self, path, text, mode=0o644):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def configure(self, environments):
        """Writes the configuration whole; what is running does not notice before it reads it."""
        shutil.rmtree(self.config_dir, ignore_errors=True)
        for directory in ("environments.d", "secrets", "ca", "certificates"):
            os.makedirs(self._path(directory))
        self._write(self._path("gateway.conf"), f"""\
gateway: {{
  name = "gw-a";
  uplink: {_group(self._uplink)};
  cluster: {_group(self._cluster)};
}};
dataplane: {_group(self.dataplane_settings)};
controlplane: {_group(self._controlplane_settings)};
{self._egress}
""")
        for environment in environments:
            self._write(self._path("environments.d", f"{environment.name}.conf"),
                        self._environment(environment))

    def _environment(self, environment):
        servers = ",\n    ".join(self._server(environment, s) for s in environment.servers)
        forwards = ",\n    ".join(_group({"port": port, "to": to} if isinstance(to, str) else
                                         {"port": port, **to})
                                  for port, to in environment.forwards.items())
        options = "".join(f"  {key} = {_value(value)};\n"
                          for key, value in environment.options.items())
        return f"""\
environment: {{
  name = {_value(environment.name)};
  pod_address = {_value(environment.pod_address)};
  sources = {_value(environment.sources)};
  vpn = {_value(environment.servers[0].protocol)};
{options}  servers = (
    {servers}
  );
  forwards = (
    {forwards}
  );
}};
"""

    def _openvpn_server(self, name, server):
        settings = {"name": server.name, "account": server.account}
        if server.secret:
            settings["password_file"] = self.write_secret(name, server.secret)
        for key, path in server.secret_files.items():
            with open(path, encoding="ascii") as file:
                settings[key] = self.write_secret(f"{name}-{key}", file.read())
        if server.certificate:
            settings["certificate_file"] = self._copy("certificates", name, server.certificate)
        if server.profile:
            settings["profile"] = self.write_secret(f"{name}.ovpn", server.profile)
        else:
            settings.update(address=server.address, server_identity=server.identity,
                            server_ca=self._copy("ca", name, server.authority))
        return {key: value for key, value in settings.items() if value}

    def _server(self, environment, server):
        name = f"{environment.name}-{server.name}"
        if server.protocol == "openvpn":
            return self._written(self._openvpn_server(name, server), server)
        settings = {"name": server.name, "address": server.address, "auth": server.auth,
                    "server_identity": server.identity, "account": server.account}
        settings = {key: value for key, value in settings.items() if value}
        if server.auth in ("eap-tls", "certificate"):
            with open(server.key, encoding="ascii") as key:
                settings["key_file"] = self.write_secret(name, key.read())
            settings["certificate_file"] = self._copy("certificates", name, server.certificate)
        else:
            kind = "secret_file" if server.auth == "psk" else "password_file"
            settings[kind] = self.write_secret(name, server.secret)
        if server.auth != "psk":
            settings["server_ca"] = self._copy("ca", name, server.authority)
        return self._written(settings, server)

    @staticmethod
    def _written(settings, server):
        return ("{ " + "\n      ".join(f"{key} = {_value(value)};" for key, value in
                                      {**settings, **server.options}.items()) + " }")

    def _copy(self, directory, name, path):
        copy = self._path(directory, f"{name}.pem")
        shutil.copy(path, copy)
        os.chmod(copy, 0o644)
        return copy

    def write_secret(self, name, secret):
        """Readable by the control plane's user alone; returns the path."""
        path = self._path("secrets", name)
        self._write(path, secret, 0o400)
        shutil.chown(path, "sallyport", "sallyport")
        return path

    # ---- processes ----

    def start_dataplane(self):
        self.dataplane = self.host.start(program("sallyport-dataplane"), "--instance", self.instance,
                                         "--run-dir", self.run_dir, name="dataplane")
        wait_until(lambda: self.dataplane.require_running()
                   or os.path.exists(os.path.join(self.run_dir, "dataplane.sock")), 20,
                   "the dataplane opens its socket")

    def start_controlplane(self, *argv, path=None, env=None):
        """PATH: the program, unless it is the one that was built."""
        self.controlplane = self.host.start(
            path or program("sallyport-controlplane"), "--instance", self.instance, "--run-dir",
            self.run_dir, "--config-dir", self.config_dir, *argv, name="controlplane", env=env)

    def start(self):
        self.start_dataplane()
        self.start_controlplane()

    def upgrade(self):
        """Replaces the control plane by the program that is there now; returns the CompletedProcess."""
        done = self.command("upgrade", timeout=130)
        if done.returncode == 0:
            self.controlplane.wait(10)
            self.follow(self.query("status")[1]["controlplane"]["pid"])
        return done

    def follow(self, pid):
        """The control plane is process PID now: a successor of the one we started."""
        self.controlplane = Heir(self._run, pid, self.controlplane)

    def kill_dataplane(self):
        self.dataplane.kill()

    def kill_controlplane(self):
        self.controlplane.kill()

    def stop(self):
        """Ends both in an orderly way; both must end with status 0."""
        for process in (self.controlplane, self.dataplane):
            if process and process.status is None:
                status = process.stop()
                if status != 0:
                    raise LabError(f"{process.name} ended with status {status}:\n"
                                   + process.output()[-3000:])

    def require_running(self):
        for process in (self.dataplane, self.controlplane):
            process.require_running()

    # ---- the command line ----

    def command(self, *argv, timeout=20):
        """Runs `sallyport`; returns the CompletedProcess."""
        return self.host.run(*self._command(*argv), check=False, timeout=timeout)

    def start_command(self, *argv):
        """The same in the background; returns the Process."""
        return self.host.start(*self._command(*argv), name=argv[0])

    def _command(self, *argv):
        return [program("sallyport"), "--instance", self.instance, "--run-dir", self.run_dir,
                "--config-dir", self.config_dir, *argv]

    def query(self, *argv):
        """Runs `sallyport --json`; returns the exit status and what it printed, parsed."""
        done = self.command("--json", *argv)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, None

    def ask(self, command):
        """The result of COMMAND at the control plane's API, without the command line between."""
        with socket.socket(socket.AF_UNIX) as api:
            api.settimeout(20)
            api.connect(os.path.join(self.run_dir, "control.sock"))
            api.sendall(json.dumps({"command": command}).encode() + b"\n")
            with api.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        if not answer["ok"]:
            raise LabError(f"{command}: {answer['error']}")
        return answer["result"]

    def tunnels(self):
        """The tunnels by (environment, server); empty while nobody answers."""
        _, reply = self.query("tunnels")
        if not isinstance(reply, dict):
            return {}
        return {(t["environment"], t["server"]): t for t in reply.get("tunnels", [])}

    def tunnel(self, environment="production", server="a"):
        return self.tunnels().get((environment, server), {})

    def wait_up(self, environment="production", server="a", timeout=30):
        return self.wait_phase("up", environment, server, timeout)

    def wait_why(self, expression, environment="production", server="a", timeout=30):
        """Waits until the tunnel is down for a reason that matches EXPRESSION (re)."""
        def matches():
            self.require_running()
            tunnel = self.tunnel(environment, server)
            return tunnel if expression.search(tunnel.get("why") or "") else None
        return wait_until(matches, timeout, f"tunnel {environment}/{server} is down because of "
                          f"{expression.pattern!r} (now: {self.tunnel(environment, server)})")

    def wait_phase(self, phase, environment="production", server="a", timeout=60):
        def is_there():
            self.require_running()
            tunnel = self.tunnel(environment, server)
            return tunnel if tunnel.get("phase") == phase else None
        return wait_until(is_there, timeout, f"tunnel {environment}/{server} is {phase} "
                          f"(now: {self.tunnel(environment, server)})")

    def counters(self):
        """The dataplane's counters by name, summed over workers."""
        _, reply = self.query("counters")
        return reply["counters"] if reply else {}

    def drops(self):
        """The packets that the dataplane dropped, by reason; without those at zero."""
        return {name: count for name, count in self.counters().items() if name.startswith("drop/")}
