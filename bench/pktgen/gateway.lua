-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- What the scripts beside this one share: the gateway as its own configuration files describe it,
-- what it passes on by its own counters, and Pktgen's port 0, which is the cluster.
--
-- Environment (bench/pktgen/run sets it):
--   SALLYPORT_CONFIG    the gateway's configuration directory
--   SALLYPORT_COUNTERS  a command that prints `sallyport --json counters --all` of the gateway
--   SALLYPORT_SECONDS   length of a trial
--   SALLYPORT_RESULT    a file for the results, one JSON object a line

package.path = (os.getenv("PKTGEN_DIR") or ".") .. "/?.lua;" .. package.path
require "Pktgen"

local gateway = {}

gateway.port = "0"
gateway.seconds = tonumber(os.getenv("SALLYPORT_SECONDS") or "10")

local ETHERNET = 18 -- bytes around an IPv4 packet, as Pktgen counts a frame: header and FCS

function gateway.fail(text)
	print("pktgen: error: " .. text)
	os.exit(1)
end

-- ---- the configuration ----

local function read(path)
	local file, why = io.open(path)
	if not file then
		gateway.fail(why)
	end
	local text = file:read("a")
	file:close()
	text = text:gsub("/%*.-%*/", ""):gsub("//[^\n]*", "")
	return (text:gsub("#[^\n]*", ""))
end

-- The group or list of a key, without its brackets.
local function inside(text, key, brackets)
	local found = text:match("%f[%w_]" .. key .. "%s*[:=]%s*(%b" .. brackets .. ")")
	return found and found:sub(2, -2)
end

local function value(text, key)
	return text:match("%f[%w_]" .. key .. '%s*[:=]%s*"([^"]*)"')
		or text:match("%f[%w_]" .. key .. "%s*[:=]%s*(%d+)")
end

local function first_host(prefix)
	local a, b, c, d, length = prefix:match("(%d+)%.(%d+)%.(%d+)%.(%d+)/?(%d*)")
	local last = length == "32" and d or d + 20
	return string.format("%d.%d.%d.%d", a, b, c, last)
end

-- { cluster, uplink, source, environments = { { name, pod, source, ports = { UDP ports } } } }
function gateway.configuration()
	local directory = os.getenv("SALLYPORT_CONFIG") or gateway.fail("SALLYPORT_CONFIG is not set")
	local text = read(directory .. "/gateway.conf")
	local node = inside(text, "gateway", "{}") or gateway.fail("gateway.conf has no group gateway")
	local egress = inside(text, "egress", "{}")
	local sources = egress and inside(egress, "sources", "[]")
	local result = {
		cluster = value(inside(node, "cluster", "{}"), "address"):match("[^/]+"),
		uplink = value(inside(node, "uplink", "{}"), "address"):match("[^/]+"),
		source = sources and first_host(sources:match('"([^"]*)"')),
		environments = {},
	}
	local list = io.popen("ls '" .. directory .. "/environments.d/'*.conf")
	for path in list:lines() do
		local group = inside(read(path), "environment", "{}")
		local environment = {
			name = value(group, "name"),
			pod = value(group, "pod_address"),
			source = first_host(inside(group, "sources", "[]"):match('"([^"]*)"')),
			ports = {},
		}
		for forward in (inside(group, "forwards", "()") or ""):gmatch("%b{}") do
			if value(forward, "transport") == "udp" then
				table.insert(environment.ports, tonumber(value(forward, "port")))
			end
		end
		table.insert(result.environments, environment)
	end
	list:close()
	return result
end

-- The first environment with a forward that a stream of UDP may go to.
function gateway.environment(configuration)
	for _, environment in ipairs(configuration.environments) do
		if #environment.ports > 0 then
			return environment
		end
	end
	gateway.fail('no environment has a forward for UDP: add { port = 9; to = "TARGET:9"; transport = "udp"; }')
end

-- ---- the gateway's counters ----

-- A function of a counter's name.
function gateway.counters()
	local command = os.getenv("SALLYPORT_COUNTERS") or gateway.fail("SALLYPORT_COUNTERS is not set")
	local pipe = io.popen(command)
	local text = pipe:read("a")
	pipe:close()
	if not text:match('"counters"') then
		gateway.fail("no counters from: " .. command)
	end
	return function(name)
		return tonumber(text:match('"' .. name:gsub("[%-%.]", "%%%0") .. '"%s*:%s*(%d+)') or 0)
	end
end

-- ---- Pktgen ----

-- Asks for the gateway's MAC address by ARP, as SOURCE.
local function learn_mac(source, cluster)
	local file = os.tmpname()
	for _ = 1, 20 do
		pktgen.send_arp(gateway.port, "request")
		pktgen.delay(100)
		-- Pktgen keeps it back until packets of a stream are sent: these go nowhere
		pktgen.set(gateway.port, "count", 1)
		pktgen.start(gateway.port)
		pktgen.delay(200)
		pktgen.stop(gateway.port)
		pktgen.save(file)
		local text = read(file)
		for mac in text:gmatch("set%s+0%s+dst%s+mac%s+([%x:]+)") do
			if mac ~= "00:00:00:00:00:00" then
				os.remove(file)
				return mac
			end
		end
	end
	os.remove(file)
	gateway.fail("the gateway does not answer ARP for " .. cluster)
end

-- Pktgen paces by the link's speed, and by none, that is hardly at all, before the link is up.
local function wait_for_link()
	for _ = 1, 50 do
		local state = pktgen.linkState(gateway.port)[0]
		if state and state:match("UP") then
			pktgen.delay(1000)
			return
		end
		pktgen.delay(200)
	end
	gateway.fail("the link of port 0 does not come up")
end

-- Port 0 becomes SOURCE, a host of the cluster that answers ARP; returns the gateway's MAC address.
function gateway.attach(configuration, source)
	pktgen.screen("off")
	wait_for_link()
	pktgen.set(gateway.port, "rate", 1)
	pktgen.set_ipaddr(gateway.port, "src", source .. "/24")
	pktgen.set_ipaddr(gateway.port, "dst", configuration.cluster)
	pktgen.set_proto(gateway.port, "udp")
	pktgen.process(gateway.port, "on")
	local mac = learn_mac(source, configuration.cluster)
	pktgen.set(gateway.port, "count", 0)
	return mac
end

-- One field of Pktgen's ranges: from FIRST to LAST in steps of one.
local function range(set, first, last, step)
	set(gateway.port, "start", first)
	set(gateway.port, "inc", step)
	set(gateway.port, "min", first)
	set(gateway.port, "max", last)
end

-- UDP from SOURCE to FLOW.first..FLOW.last (addresses), FLOW.port, from FLOW.sport_first to
-- FLOW.sport_last, one after the other.
function gateway.flows(mac, source, flow)
	pktgen.range.dst_mac(gateway.port, "start", mac)
	pktgen.range.src_mac(gateway.port, "start", pktgen.pktStats(gateway.port)[0].mac_addr)
	pktgen.range.ip_proto(gateway.port, "udp")
	range(pktgen.range.src_ip, source, source, "0.0.0.0")
	range(pktgen.range.dst_ip, flow.first, flow.last, flow.first == flow.last and "0.0.0.0" or "0.0.0.1")
	range(pktgen.range.src_port, flow.sport_first, flow.sport_last, 1)
	range(pktgen.range.dst_port, flow.port, flow.port, 0)
	pktgen.set_range(gateway.port, "on")
end

-- IPv4 bytes.
function gateway.size(bytes)
	pktgen.set(gateway.port, "size", bytes + ETHERNET)
	range(pktgen.range.pkt_size, bytes + ETHERNET, bytes + ETHERNET, 0)
end

-- Sends at PERCENT of the line for SECONDS; returns packets that were sent and that left the gateway at
-- its uplink, and the counters of before and after.
function gateway.trial(percent, seconds)
	local before = gateway.counters()
	pktgen.clr()
	pktgen.set(gateway.port, "rate", percent)
	pktgen.start(gateway.port)
	pktgen.delay(math.floor(seconds * 1000))
	pktgen.stop(gateway.port)
	pktgen.delay(1000) -- Pktgen looks at its port's own counters once a second
	local after = gateway.counters()
	local sent = pktgen.portStats(gateway.port, "port")[0].opackets
	return sent, after("port/uplink/tx-packets") - before("port/uplink/tx-packets"), before, after
end

-- One line of result: a table of numbers and texts.
function gateway.report(result)
	local fields = {}
	for key, content in pairs(result) do
		local text = type(content) == "number" and string.format("%.6g", content)
			or string.format("%q", content)
		table.insert(fields, string.format('"%s": %s', key, text))
	end
	table.sort(fields)
	local line = "{" .. table.concat(fields, ", ") .. "}"
	local path = os.getenv("SALLYPORT_RESULT")
	if path then
		local file = assert(io.open(path, "a"))
		file:write(line, "\n")
		file:close()
	end
	print(line)
end

-- Sends, and reports under NAME what the gateway did with it.
function gateway.measure(name, percent, bytes)
	local sent, passed = gateway.trial(percent, gateway.seconds)
	gateway.report({ bench = name, percent = percent, size = bytes, sent = sent, passed = passed,
		loss = sent > 0 and math.max(0, 1 - passed / sent) or 0,
		pps = passed / gateway.seconds })
end

-- The end of every script.
function gateway.done()
	pktgen.quit()
end

return gateway
