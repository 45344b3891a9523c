/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a stage decides about a packet: go on, taken over by someone, or a reason to drop it.
 *
 * The value is also the index of the drop counter "drop/NAME" in the shared-memory segment. ANSWER
 * says what the sender is told where the packet came from the cluster, or out of a tunnel (of
 * REFUSE, a RST of a TCP connection in mid-stream: dataplane/answer.h); answers are rate limited.
 */
#pragma once

enum dp_answer {
	DP_ANSWER_NONE = 0,
	DP_ANSWER_REFUSE,      /* TCP: RST; others: ICMP port unreachable */
	DP_ANSWER_UNREACHABLE, /* TCP: RST; others: ICMP net unreachable */
	DP_ANSWER_PROHIBITED,  /* TCP: RST; others: ICMP administratively prohibited */
	DP_ANSWER_TOO_BIG,     /* ICMP fragmentation needed, with the tunnel's MTU */
	DP_ANSWER_TTL,         /* ICMP time exceeded */
	DP_ANSWER_REASSEMBLY,  /* ICMP fragment reassembly time exceeded */
};

/* X(identifier, name, answer, what the operator reads in the documentation) */
/* clang-format off */
#define DP_VERDICTS(X)                                                                                                 \
	X(OK, "", NONE, "goes on")                                                                                     \
	X(TAKEN, "", NONE, "someone else owns the mbuf now: held, handed off, answered, punted")                       \
	/* link and IPv4 header */                                                                                     \
	X(ETHERTYPE, "ethertype", NONE, "neither IPv4 nor ARP")                                                        \
	X(TRUNCATED, "truncated", NONE, "shorter than its headers say")                                                \
	X(IP_VERSION, "ip-version", NONE, "the IPv4 version or header length is wrong")                                \
	X(IP_CHECKSUM, "ip-checksum", NONE, "the IPv4 header checksum is wrong")                                       \
	X(IP_OPTIONS, "ip-options", NONE, "IPv4 options are not forwarded")                                            \
	X(IP_ADDRESS, "ip-address", NONE, "a source or destination that no host may have")                             \
	X(TTL, "ttl", TTL, "the time to live ran out")                                                                 \
	X(FRAGMENT, "fragment", NONE, "a fragment that nobody here puts together: no TCP, UDP or ICMP, or no server's") \
	X(FRAGMENT_DUPLICATE, "fragment-duplicate", NONE, "a fragment that came before, the same in every byte")       \
	X(FRAGMENT_OVERLAP, "fragment-overlap", NONE, "fragments overlap: the whole datagram is refused")              \
	X(FRAGMENT_INVALID, "fragment-invalid", NONE, "a fragment that cannot be: too small, too far, ends disagree")  \
	X(FRAGMENT_QUOTA, "fragment-quota", NONE, "too many fragments of the environment or in all wait")              \
	X(FRAGMENT_TIMEOUT, "fragment-timeout", REASSEMBLY, "the other fragments did not come within 15 s")                  \
	X(L4_HEADER, "l4-header", NONE, "a TCP, UDP or ICMP header that is cut off or impossible")                     \
	X(MULTI_SEGMENT, "multi-segment", NONE, "a frame in segments that does not fit one buffer")                                \
	X(NOT_FOR_US, "not-for-us", NONE, "an address or protocol nobody here serves")                                 \
	X(ARP_INVALID, "arp-invalid", NONE, "malformed ARP, or not for our addresses")                                 \
	X(RATE_LIMITED, "rate-limited", NONE, "more answers or punts than the limit")                                  \
	/* cluster side */                                                                                             \
	X(NO_FORWARD, "no-forward", REFUSE, "no forward on this port of the environment's address")                    \
	X(NO_EGRESS, "no-egress", PROHIBITED, "a destination outside; egress is not configured")                       \
	X(EGRESS_SOURCE, "egress-source", PROHIBITED, "the source may not leave for the Internet")                     \
	X(EGRESS_DESTINATION, "egress-destination", PROHIBITED, "a private, link-local or own destination, which egress refuses") \
	X(EGRESS_PROTOCOL, "egress-protocol", PROHIBITED, "neither TCP, UDP nor ICMP echo: egress cannot translate it") \
	X(EGRESS_PORTS, "egress-ports", UNREACHABLE, "no port of the static address left towards this destination")    \
	X(SOURCE_REFUSED, "source-refused", PROHIBITED, "the source may not call this environment")                    \
	X(DRAINING, "draining", UNREACHABLE, "a new session of an environment that is being drained")                   \
	X(NO_SESSION, "no-session", REFUSE, "TCP in mid-stream without a session")                                     \
	X(TCP_STATE, "tcp-state", NONE, "TCP flags or sequence that the session cannot take")                          \
	X(SESSION_TABLE_FULL, "session-table-full", UNREACHABLE, "no room for another session")                        \
	X(SESSION_QUOTA, "session-quota", UNREACHABLE, "the environment's session quota is used up")                   \
	X(PORTS_EXHAUSTED, "ports-exhausted", UNREACHABLE, "no port left towards this target")                         \
	X(PORT_QUOTA, "port-quota", UNREACHABLE, "no port left of the environment's quota towards this target")          \
	X(RATE, "rate", NONE, "over the environment's rate")                                                           \
	X(NO_TUNNEL, "no-tunnel", UNREACHABLE, "no tunnel of the environment is up")                                   \
	X(TOO_BIG, "too-big", TOO_BIG, "does not fit the tunnel and may not be fragmented")                            \
	/* uplink side */                                                                                              \
	X(EGRESS_UNSOLICITED, "egress-unsolicited", NONE, "to a static address, but no reply to a session and no mapped port") \
	/* tunnel side */                                                                                              \
	X(ESP_TRUNCATED, "esp-truncated", NONE, "shorter than ESP with its trailer, or not a multiple of its block")    \
	X(ESP_NO_SA, "esp-no-sa", NONE, "no security association with this SPI")                                       \
	X(ESP_NO_KEY, "esp-no-key", NONE, "the SPI is allocated but its key has not arrived")                          \
	X(ESP_ENCAPSULATION, "esp-encapsulation", NONE, "native ESP on an SA with UDP encapsulation or the reverse")   \
	X(ESP_PEER, "esp-peer", NONE, "not from the address of the SA's peer")                                         \
	X(ESP_REPLAY, "esp-replay", NONE, "seen before, or older than the replay window")                              \
	X(ESP_ICV, "esp-icv", NONE, "the integrity check failed: forged or damaged")                                   \
	X(ESP_PADDING, "esp-padding", NONE, "padding or next header is wrong after decryption")                        \
	X(ESP_DUMMY, "esp-dummy", NONE, "a dummy packet, RFC 4303 section 2.6")                                        \
	X(ESP_SEQUENCE, "esp-sequence", NONE, "the outbound sequence numbers are used up")                             \
	X(OVPN_TRUNCATED, "openvpn-truncated", NONE, "shorter than an OpenVPN data packet of its key, or its padding is wrong")  \
	X(OVPN_NO_KEY, "openvpn-no-key", NONE, "no data key of this opcode and key id in this tunnel")                  \
	X(OVPN_PEER, "openvpn-peer", NONE, "not from the address and port of the tunnel's server")                     \
	X(OVPN_REPLAY, "openvpn-replay", NONE, "an OpenVPN data packet seen before, or older than the replay window")  \
	X(OVPN_ICV, "openvpn-icv", NONE, "the integrity check of an OpenVPN data packet failed: forged or damaged")    \
	X(OVPN_FRAMING, "openvpn-framing", NONE, "not framed as the server's compression setting says")                \
	X(OVPN_COMPRESSED, "openvpn-compressed", NONE, "compressed by the server, and not with an LZ4 that we agreed to") \
	X(OVPN_PING, "openvpn-ping", NONE, "a ping: it has arrived")                                                    \
	X(OVPN_OCC, "openvpn-occ", NONE, "another message of the protocol itself: it has arrived")                      \
	X(OVPN_SEQUENCE, "openvpn-sequence", NONE, "the packet ids of the outbound key are used up, or its volume")     \
	X(INNER_INVALID, "inner-invalid", NONE, "what came out of the tunnel is no valid IPv4 packet")                 \
	X(INNER_NO_SESSION, "inner-no-session", REFUSE, "from the tunnel, but no reply to a session of its environment") \
	X(INNER_OTHER_TUNNEL, "inner-other-tunnel", NONE, "a reply to a session that uses another tunnel of its environment") \
	X(PROBE, "", NONE, "an answer to a probe of our own: it has arrived")                                    \
	X(NO_SESSION_QUOTED, "no-session-quoted", NONE, "ICMP, but no error about a packet of a session from that side") \
	X(PMTU_ACCEPTED, "pmtu-accepted", NONE, "\"packet too big\" about our ESP: the tunnel's MTU was lowered")       \
	X(PMTU_REFUSED, "pmtu-refused", NONE, "\"packet too big\" that quotes no recent ESP packet of ours")           \
	X(NATT_KEEPALIVE, "natt-keepalive", NONE, "a NAT-T keepalive, RFC 3948 section 2.3")                           \
	X(CRYPTO, "crypto", NONE, "the crypto library refused")                                                        \
	/* control packets */                                                                                          \
	X(IKE_UNKNOWN_PEER, "ike-unknown-peer", NONE, "IKE from an address that is no configured server's")            \
	X(IKE_MALFORMED, "ike-malformed", NONE, "an IKE datagram shorter than its header or too long")                 \
	X(OVPN_UNKNOWN_PEER, "openvpn-unknown-peer", NONE, "an OpenVPN control packet that is not from the tunnel's server") \
	X(OVPN_MALFORMED, "openvpn-malformed", NONE, "an OpenVPN control packet that is too short, too long or damaged") \
	X(IKE_SOURCE, "ike-source", NONE, "of the control plane, but not from the uplink's address")                   \
	X(PUNT_QUEUE_FULL, "punt-queue-full", NONE, "the control thread's queue is full")                              \
	X(NO_CONTROL_PLANE, "no-control-plane", NONE, "for the control plane, which is not connected")                 \
	X(EXCEPTION_FLOW, "exception-flow", NONE, "of our own TCP stack, but of no registered flow")                   \
	X(EXCEPTION_QUEUE_FULL, "exception-queue-full", NONE, "for our own TCP stack, which does not take it")         \
	X(OVPN_STREAM_FULL, "openvpn-stream-full", NONE, "for a TCP connection of OpenVPN, which does not take it")       \
	/* leaving */                                                                                                  \
	X(NEXTHOP_UNRESOLVED, "nexthop-unresolved", NONE, "the next hop does not answer ARP")                          \
	X(NEXTHOP_QUEUE_FULL, "nexthop-queue-full", NONE, "too many packets wait for an ARP answer")                   \
	X(NO_ROUTE, "no-route", NONE, "neither on the subnet nor is there a router")                                   \
	X(HANDOFF_FULL, "handoff-full", NONE, "the home worker's queue is full")                                       \
	X(HANDOFF_LOOP, "handoff-loop", NONE, "handed off before; the home changed meanwhile")                         \
	X(TX_FULL, "tx-full", NONE, "the port did not take it")                                                        \
	X(NO_MBUF, "no-mbuf", NONE, "no buffer for an answer or for IKE")                                              \
	X(NO_CONFIGURATION, "no-configuration", NONE, "before the first configuration")
/* clang-format on */

enum dp_verdict {
#define X(id, name, answer, text) DP_##id,
	DP_VERDICTS(X)
#undef X
		DP_VERDICT_COUNT
};

/* The counter's name without "drop/"; "" for OK, TAKEN and PROBE, which are no drops. */
const char *dp_verdict_name(enum dp_verdict verdict);
enum dp_answer dp_verdict_answer(enum dp_verdict verdict);
