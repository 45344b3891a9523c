# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway with a server in each of two zones, and what its tests ask of it."""

from lab import crowd, pulse
from lab.host import wait_until
from lab.topology import TARGET

FORWARDS = {
    33000: f"{TARGET}:8080",
    33001: {"to": f"{TARGET}:8081", "server": "b"},
    crowd.PORT: f"{TARGET}:{crowd.TARGET_PORT}",
    pulse.PORT: {"to": f"{TARGET}:{pulse.TARGET_PORT}", "transport": "udp"},
}


class Zones:
    """Built on LAB, a topology with a redundant site; both tunnels live, a is active."""

    def __init__(self, lab, forwards=None, only_forwards=None, servers=None, **options):
        self.lab = lab
        self.site = lab.site
        forwards = only_forwards or {**FORWARDS, **(forwards or {})}
        self.gateway = lab.add_gateway([lab.environment(
            servers=servers or self.site.as_servers(), forwards=forwards,
            options={"probe": {"target": self.site.probe_target},
                     "keep_sessions": self.site.is_routing, **options})])
        self.site.start()
        self.gateway.start()
        for letter in self.site.zones:
            self.gateway.wait_up(server=letter)
        self.wait_active("a")

    def server(self, letter):
        return self.site.zones[letter].server

    def environment(self):
        _, status = self.gateway.query("status")
        return status["environments"][0]

    def moves(self):
        return self.environment()["moves"]

    def wait_active(self, letter, timeout=20):
        """Until LETTER is active and its last move is over; returns the environment."""
        def is_so():
            environment = self.environment()
            move = environment["last_move"] or {"settled": True}
            return environment if environment["active"] == letter and move["settled"] else None
        return wait_until(is_so, timeout, f"{letter} is active (now: {self.environment()})")

    def wait_liveness(self, timeout=30, **wanted):
        """Until the tunnels are as WANTED: liveness by letter."""
        def is_so():
            self.gateway.require_running()
            tunnels = self.gateway.tunnels()
            return all(tunnels.get(("production", letter), {}).get("liveness") == liveness
                       for letter, liveness in wanted.items())
        wait_until(is_so, timeout, f"tunnels are {wanted} (now: {self.gateway.tunnels()})")

    def wait_ready(self):
        """Both live; returns which one is active."""
        self.wait_liveness(a="alive", b="alive")
        return self.wait_active(self.environment()["active"])["active"]

    def server_of_new(self, port):
        """The one that a new connection to the forward that prefers b goes through, from PORT."""
        self.lab.client.run("curl", "--silent", "--http0.9", "--max-time", "1", "--local-port", str(port),
                            "vpn:33001", check=False)
        _, reply = self.gateway.query("sessions")
        return [s["server"] for s in reply["sessions"] if s["client_port"] == port]

    def other(self, letter):
        return "b" if letter == "a" else "a"
