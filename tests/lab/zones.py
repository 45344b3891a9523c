# SPDX-License-Identifier: GPL-2.0-or-later
"""A customer with a VPN server in each of two zones, in front of one LAN.

  +-----------------------------------+   +---------------------------+
  | server-a, zone-a   198.51.100.101 ------ internet                 |
  |          192.168.100.1            |   |  router   198.51.100.1    |
  +-----------|-----------------------+   +----|----------------------+
  +-----------|--------+                       |
  | lan       |        |   +-------------------|---------------+
  | 192.168.100.30     |   | server-b, zone-b  198.51.100.102  |
  | nginx       switch ------ 192.168.100.1, masquerading: .2  |
  +--------------------+   +-----------------------------------+

A customer that *routes*: both servers give the gateway's account the same virtual address, and both
are the LAN's router 192.168.100.1 with the MAC address of a VRRP router (RFC 5798 section 7.3). The
LAN's switch learns where that MAC address is, so answers go to the server that the last packet came
from: what VRRP does when its master changes, without its second of waiting.

A customer that *masquerades*: each server hides its clients, whose addresses are of a pool of its
own, behind its LAN address. A connection that was begun through one cannot go on through the other.
"""

from .gateway import Server
from .host import Host, bridge, link
from .openvpn import OpenvpnServer
from .pki import Authority
from .server import VpnServer, WebServer

ACCOUNT = "myuser"
PASSWORD = "correct horse battery staple"
PSK = "a long shared secret of two gateways"
TARGET = "192.168.100.30"
ROUTER = "192.168.100.1"
VRRP_MAC = "00:00:5e:00:01:01"
LETTERS = ("a", "b")

_MASQUERADE = """table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "lan" masquerade
	}
}
"""


class _Zone:
    """A VPN server; both of a customer show certificates of the same authority."""

    def __init__(self, site, topology, letter, number, protocol):
        run = topology.run
        self.letter = letter
        self.host = Host(run, f"server-{letter}")
        address = f"198.51.100.10{number}"
        link(self.host, "wan", topology.internet, f"to-{letter}")
        link(self.host, "lan", site.lan_host, f"to-{letter}")
        self.host.ip("address", "add", f"{address}/24", "dev", "wan")
        self.host.ip("route", "add", "default", "via", "198.51.100.1")
        # what has no tunnel goes nowhere, and nobody is told
        self.host.ip("route", "add", "blackhole", "10.20.0.0/16")
        pool = 1 if site.is_routing else number
        settings = {"address": address, "identity": f"vpn-{letter}.customer.example",
                    "pool": f"10.20.{20 + 10 * pool}.0/24", "account": ACCOUNT,
                    "password": PASSWORD}
        if protocol == "openvpn":
            self.server = OpenvpnServer(run, self.host, site.authority, **settings)
        else:
            self.server = VpnServer(run, self.host, site.authority, psk=PSK, **settings)


class RedundantSite:
    """The customer of the drawing; `zones` by letter."""

    def __init__(self, topology, is_routing, protocols):
        run = topology.run
        self.is_routing = is_routing
        self.authority = Authority(run.path("pki"), "Customer")
        self.lan_host = Host(run, "lan")
        self.zones = {letter: _Zone(self, topology, letter, number, protocols.get(letter))
                      for number, letter in enumerate(LETTERS, start=1)}
        bridge(self.lan_host, "lan", [f"to-{letter}" for letter in LETTERS])
        self.lan_host.ip("address", "add", f"{TARGET}/24", "dev", "lan")
        if is_routing:
            self._share_router()
        else:
            self._masquerade()
        self.web = WebServer(run, self.lan_host, address=TARGET, port=8080)

    def _share_router(self):
        """One router address, and nobody asks where it is: its MAC address never changes."""
        mac = self.lan_host.interface("lan")["address"]
        for zone in self.zones.values():
            zone.host.ip("link", "set", "lan", "address", VRRP_MAC)
            zone.host.ip("address", "add", f"{ROUTER}/24", "dev", "lan")
            zone.host.ip("neighbor", "add", TARGET, "lladdr", mac, "dev", "lan")
        self.lan_host.ip("neighbor", "add", ROUTER, "lladdr", VRRP_MAC, "dev", "lan")
        self.lan_host.ip("route", "add", "default", "via", ROUTER)

    def _masquerade(self):
        for number, zone in enumerate(self.zones.values(), start=1):
            zone.host.ip("address", "add", f"192.168.100.{number}/24", "dev", "lan")
            zone.host.load_nft(_MASQUERADE)

    @property
    def server(self):
        return self.zones["a"].server

    @property
    def server_hosts(self):
        return [zone.host for zone in self.zones.values()]

    @property
    def probe_target(self):
        """Who answers through either tunnel. Where answers of the LAN go to the server that is
        active, that is the servers' own address."""
        return ROUTER if self.is_routing else TARGET

    def start(self):
        self.web.start()
        for zone in self.zones.values():
            zone.server.start()

    def as_servers(self, **changes):
        """Both as an environment of the gateway names them; CHANGES by letter."""
        return [self.as_server(letter, **changes.get(letter, {})) for letter in LETTERS]

    def as_server(self, letter="a", **options):
        """OPTIONS: keys of the server in the configuration."""
        server = self.zones[letter].server
        return Server(letter, server.address, server.identity, ACCOUNT, PASSWORD,
                      protocol=server.protocol, authority=self.authority.certificate,
                      options={"zone": f"zone-{letter}", **options})
