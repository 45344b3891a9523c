-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Egress: flows of UDP to 254 hosts of the Internet, as many as Pktgen keeps packets (24,576), at full
-- rate.

local gateway = require "gateway"
local configuration = gateway.configuration()
local source = configuration.source or gateway.fail("gateway.conf has no egress.sources")
local mac = gateway.attach(configuration, source)

-- addresses and ports move on together: their numbers have no factor in common
gateway.flows(mac, source, { first = "198.51.100.1", last = "198.51.100.254", port = 9,
	sport_first = 10000, sport_last = 26126 })
for _, bytes in ipairs({ 64, 512, 1420 }) do
	gateway.size(bytes)
	gateway.measure("egress", 100, bytes)
end
gateway.done()
