-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Port forwarding: 1,024 flows of UDP to the first UDP forward, into the tunnel, at full rate.

local gateway = require "gateway"
local configuration = gateway.configuration()
local environment = gateway.environment(configuration)
local mac = gateway.attach(configuration, environment.source)

gateway.flows(mac, environment.source, { first = environment.pod, last = environment.pod,
	port = environment.ports[1], sport_first = 10000, sport_last = 11023 })
for _, bytes in ipairs({ 64, 512, 1420 }) do
	gateway.size(bytes)
	gateway.measure("forward", 100, bytes)
end
gateway.done()
