# SPDX-License-Identifier: GPL-2.0-or-later
"""The laboratory's topology. Each box is a network namespace, each line a veth pair.

                             10.0.0.0/16                                203.0.113.0/24
  +--------------------+   +---------+   +------------------------+   +----------------+
  | client             |   | cluster |   | gateway                |   | internet       |
  | a service: 10.0.1.20---  switch  ------cluster        uplink--------203.0.113.1    |
  | `vpn` = 10.0.0.33  |   |         |   | 10.0.0.2,  203.0.113.10|   | router         |
  +--------------------+   |         |   | 10.0.0.33: none of them|   |   198.51.100.1 |
  +--------------------+   |         |   | is the kernel's, all   |   |    |      |    |
  | staging (optional) |   |         |   | are the dataplane's    |   +----|------|----+
  |           10.0.2.20-----         |   +------------------------+        |      |
  | `vpn` = 10.0.0.34  |   +---------+                                     |      |
  +--------------------+                                                   |      |
  +------------------------+   +---------------------------------+         |      |
  | lan-a                  |   | server-a                        |         |      |
  | nginx                  |   | strongSwan       198.51.100.101 ----------      |
  | 192.168.100.30:8080 --------- 192.168.100.1                  |                |
  +------------------------+   | gives out 10.20.30.0/24         |                |
                               +---------------------------------+                |
  +------------------------+   +---------------------------------+                |
  | lan-b (optional)       |   | server-b (optional)             |                |
  | nginx                  |   | strongSwan       198.51.100.102 -----------------
  | 192.168.100.30:8080 --------- 192.168.100.1                  |
  +------------------------+   | gives out 10.20.40.0/24         |
                               +---------------------------------+

Server-b is another customer who has the same private network as the first one. A customer with a
server in each of two zones, and how one is cut off, are in zones.py and cut.py. Customers may run
OpenVPN (openvpn.py) instead of strongSwan.

With add_management() the gateway gets an interface of its kernel's own, 192.0.2.2, and on its other
end is a host that serves CRLs and OCSP, 192.0.2.80.
"""


from .gateway import Environment, Gateway, Server
from .host import Host, bridge, link
from .openvpn import OpenvpnServer
from .pki import Authority
from .server import PAGE, VpnServer, WebServer
from .zones import ACCOUNT, LETTERS, PASSWORD, PSK, TARGET, RedundantSite

POD_ADDRESSES = {"production": "10.0.0.33", "staging": "10.0.0.34", "development": "10.0.0.35"}
CLIENTS = {"production": ("client", "10.0.1.20"), "staging": ("staging", "10.0.2.20"),
           "development": ("development", "10.0.3.20")}
MANAGEMENT = "192.0.2.80"
UPLINK_ADDRESS = "203.0.113.10"
FORWARDS = {33000: f"{TARGET}:8080", 33001: f"{TARGET}:8081", 33002: f"{TARGET}:5201"}


class Site:
    """A customer: VPN server and LAN with a web server."""

    def __init__(self, topology, letter, number, page, protocol):
        run = topology.run
        self.letter = letter
        self.authority = Authority(run.path(f"pki-{letter}"), f"Customer {letter.upper()}")
        self.server_host = Host(run, f"server-{letter}")
        self.lan_host = Host(run, f"lan-{letter}")
        address = f"198.51.100.10{number}"
        link(self.server_host, "wan", topology.internet, f"to-{letter}")
        link(self.server_host, "lan", self.lan_host, "eth0")
        self.server_host.ip("address", "add", f"{address}/24", "dev", "wan")
        self.server_host.ip("route", "add", "default", "via", "198.51.100.1")
        self.server_host.ip("address", "add", "192.168.100.1/24", "dev", "lan")
        self.lan_host.ip("address", "add", f"{TARGET}/24", "dev", "eth0")
        self.lan_host.ip("route", "add", "default", "via", "192.168.100.1")
        settings = {"address": address, "identity": f"vpn-{letter}.customer.example",
                    "pool": f"10.20.{20 + 10 * number}.0/24", "account": ACCOUNT,
                    "password": PASSWORD}
        if protocol == "openvpn":
            self.server = OpenvpnServer(run, self.server_host, self.authority, **settings)
        else:
            self.server = VpnServer(run, self.server_host, self.authority, psk=PSK, **settings)
        self.web = WebServer(run, self.lan_host, address=TARGET, port=8080, page=page)

    @property
    def server_hosts(self):
        return [self.server_host]

    def start(self):
        self.web.start()
        self.server.start()

    def as_server(self, name="a", **changes):
        """This customer's server as an environment of the gateway names it."""
        return Server(**{"name": name, "address": self.server.address,
                         "protocol": self.server.protocol, "identity": self.server.identity, "account": ACCOUNT, "secret": PASSWORD,
                         "authority": self.authority.certificate, **changes})

    def as_certificate_server(self, auth, key, certificate, name="a", **changes):
        return self.as_server(name, **{"auth": auth, "account": "", "secret": "", "key": key,
                                       "certificate": certificate, **changes})

    def as_psk_server(self, name="a", **changes):
        return self.as_server(name, **{"auth": "psk", "account": "gateway.cluster.example",
                                       "secret": PSK, **changes})


class Topology:
    """The drawing above, with what it needs to be used; nothing is started yet."""

    def __init__(self, run, environments=("production",), sites=("a",), redundant=None,
                 protocols=None):
        """REDUNDANT: there is one customer, with servers in two zones (zones.py), who "routes" or
        "masquerades". PROTOCOLS: by letter, of servers that do not speak "ipsec" but "openvpn"."""
        self.run = run
        self.clients = {}
        self.gateway = None
        self.cluster = Host(run, "cluster")
        self.gateway_host = Host(run, "gateway")
        self.internet = Host(run, "internet")
        self._wire_cluster(environments)
        link(self.gateway_host, "uplink", self.internet, "to-gateway")
        self.internet.ip("address", "add", "203.0.113.1/24", "dev", "to-gateway")
        self.internet.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.sites = {}
        protocols = protocols or {}
        if redundant:
            sites = LETTERS
            self._only_site = RedundantSite(self, redundant == "routes", protocols)
        else:
            self._add_sites(sites, protocols)
        bridge(self.internet, "servers", [f"to-{letter}" for letter in sites])
        self.internet.ip("address", "add", "198.51.100.1/24", "dev", "servers")

    def _add_sites(self, letters, protocols):
        for number, letter in enumerate(letters, start=1):
            page = PAGE if number == 1 else PAGE.replace("world", f"customer {letter.upper()}")
            self.sites[letter] = Site(self, letter, number, page, protocols.get(letter))
        self._only_site = self.sites[letters[0]]

    def _wire_cluster(self, environments):
        link(self.gateway_host, "cluster", self.cluster, "to-gateway")
        ports = ["to-gateway"]
        for environment in environments:
            name, address = CLIENTS[environment]
            client = Host(self.run, name, names={"vpn": POD_ADDRESSES[environment]})
            link(client, "eth0", self.cluster, f"to-{name}")
            client.ip("address", "add", f"{address}/16", "dev", "eth0")
            ports.append(f"to-{name}")
            self.clients[environment] = client
        bridge(self.cluster, "pods", ports)

    @property
    def client(self):
        return self.clients["production"]

    @property
    def site(self):
        return self._only_site

    def environment(self, name="production", servers=None, **changes):
        _, address = CLIENTS[name]
        return Environment(**{"name": name, "pod_address": POD_ADDRESSES[name],
                              "sources": [f"{address}/32"], "forwards": FORWARDS,
                              "servers": servers or [self.site.as_server()], **changes})

    def add_gateway(self, environments=None, devices=None, **settings):
        """DEVICES: other ones than the two interfaces, by "uplink" and "cluster"."""
        devices = {"uplink": "af_packet:uplink", "cluster": "af_packet:cluster", **(devices or {})}
        self.gateway = Gateway(
            self.run, self.gateway_host, environments=environments or [self.environment()],
            uplink={"device": devices["uplink"], "address": f"{UPLINK_ADDRESS}/24",
                    "router": "203.0.113.1", "mtu": 1500},
            cluster={"device": devices["cluster"], "address": "10.0.0.2/16", "mtu": 1500},
            **settings)
        return self.gateway

    def add_management(self):
        """The host behind the gateway's management interface."""
        host = Host(self.run, "management")
        link(self.gateway_host, "management", host, "eth0")
        self.gateway_host.ip("address", "add", "192.0.2.2/24", "dev", "management")
        host.ip("address", "add", f"{MANAGEMENT}/24", "dev", "eth0")
        return host

    def capture(self, *places, snaplen=2048):
        """Records at PLACES: "uplink", "cluster", or "lan-a"; returns them by name."""
        hosts = {"uplink": (self.internet, "to-gateway"), "cluster": (self.cluster, "to-gateway"),
                 **{f"lan-{letter}": (site.server_host, "lan")
                    for letter, site in self.sites.items()}}
        return {place: hosts[place][0].capture(hosts[place][1], place, snaplen)
                for place in places}

    def curl(self, *argv, environment="production", timeout=30):
        """`curl vpn:33000` of the service of ENVIRONMENT; returns the CompletedProcess."""
        argv = argv or ("vpn:33000",)
        return self.clients[environment].run("curl", "--silent", "--show-error", "--max-time",
                                             str(timeout - 5), *argv, check=False, timeout=timeout)
