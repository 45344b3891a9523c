-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Port forwarding of the usual mix: 7 packets of 64 bytes, 4 of 576, 1 of 1420, in twelve flows.

local gateway = require "gateway"
local configuration = gateway.configuration()
local environment = gateway.environment(configuration)
local mac = gateway.attach(configuration, environment.source)
local own = pktgen.pktStats(gateway.port)[0].mac_addr
local sizes = { 64, 576, 64, 64, 576, 64, 1420, 64, 576, 64, 576, 64 }

for number, bytes in ipairs(sizes) do
	pktgen.seqTable(number - 1, gateway.port, { eth_dst_addr = mac, eth_src_addr = own,
		ip_dst_addr = environment.pod, ip_src_addr = environment.source .. "/32",
		sport = 12000 + number, dport = environment.ports[1], ethType = "ipv4",
		ipProto = "udp", vlanid = 1, pktSize = bytes + 18, cos = 0, tos = 0, gtpu_teid = 0 })
end
pktgen.set(gateway.port, "seq_cnt", #sizes)
for _, percent in ipairs({ 1, 10, 100 }) do
	gateway.measure("imix", percent, "imix")
end
gateway.done()
