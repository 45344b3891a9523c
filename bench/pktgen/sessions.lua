-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- A ramp of new sessions: egress at growing rates, in each step to a port of its own, so that all flows
-- are new. Pktgen makes its packets beforehand, 24,576 of them: that many sessions each step adds, the
-- faster the higher its rate, until the table is full.

local gateway = require "gateway"
local configuration = gateway.configuration()
local source = configuration.source or gateway.fail("gateway.conf has no egress.sources")
local mac = gateway.attach(configuration, source)

gateway.size(64)
for step, percent in ipairs({ 0.1, 0.5, 1, 2, 5, 10 }) do
	gateway.flows(mac, source, { first = "198.51.100.1", last = "198.51.100.254",
		port = 10000 + step, sport_first = 5000, sport_last = 65000 })
	local sent, passed, before, after = gateway.trial(percent, gateway.seconds)
	gateway.report({ bench = "sessions", percent = percent, sent = sent, passed = passed,
		created = after("sessions/created") - before("sessions/created"),
		refused = after("drop/session-table-full") - before("drop/session-table-full"),
		now = after("sessions/now") })
end
gateway.done()
