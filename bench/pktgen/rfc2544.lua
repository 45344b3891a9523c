-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- RFC 2544 section 26.1: the highest rate of port forwarding without loss, for each size.

local gateway = require "gateway"
local configuration = gateway.configuration()
local environment = gateway.environment(configuration)
local mac = gateway.attach(configuration, environment.source)
local STEPS = 7

-- The gateway sends packets of its own, too: probes and keepalives are no answer to a lost one.
local function search(bytes)
	local low, high, pps = 0, 100, 0
	gateway.size(bytes)
	for _ = 1, STEPS do
		local middle = (low + high) / 2
		local sent, passed, before, after = gateway.trial(middle, gateway.seconds)
		local own = after("failover/probes-sent") - before("failover/probes-sent")
			+ after("esp/out-keepalives") - before("esp/out-keepalives")
		if sent > 0 and passed - own >= sent then
			low, pps = middle, sent / gateway.seconds
		else
			high = middle
		end
	end
	gateway.report({ bench = "rfc2544", size = bytes, percent = low, pps = pps })
end

gateway.flows(mac, environment.source, { first = environment.pod, last = environment.pod,
	port = environment.ports[1], sport_first = 10000, sport_last = 11023 })
for _, bytes in ipairs({ 64, 128, 256, 512, 1024, 1280, 1420 }) do
	search(bytes)
end
gateway.done()
