/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directives of OpenVPN's profiles that are not honoured: those that have no meaning on a
 * gateway are skipped, those that change what a tunnel is, or whom it trusts, are refused.
 */
#include "controlplane/ovpn_directives.h"

#include <string.h>

static const char *const skipped[] = {
	/* the host, its logs and its processes */
	"nobind bind lport local multihome persist-key persist-tun persist-local-ip "
	"persist-remote-ip verb mute mute-replay-warnings status status-version log "
	"log-append syslog suppress-timestamps machine-readable-output errors-to-stderr "
	"daemon writepid user group chroot nice mlock echo parameter remap-usr1 setcon "
	"iproute tmp-dir sndbuf rcvbuf socket-flags mark bind-dev txqueuelen fast-io passtos "
	"mtu-disc mtu-test disable-dco windows-driver dev-node lladdr ip-win32 win-sys "
	"service pause-exit show-net-up tap-sleep dhcp-renew dhcp-release dhcp-pre-release "
	"register-dns block-outside-dns allow-pull-fqdn",
	/* scripts for the host's name servers and routes: they never run */
	"script-security up down up-delay up-restart down-pre route-up route-pre-down "
	"ipchange dns-updown route-noexec ifconfig-noexec ifconfig-nowarn",
	/* routes and names: the environment says what is forwarded; IPv6 is not carried */
	"route-gateway route-metric route-delay route-method route-ipv6 route-ipv6-gateway "
	"ifconfig-ipv6 tun-ipv6 redirect-private block-ipv6 dhcp-option dns max-routes "
	"allow-recursive-routing topology",
	/* what is done by itself, or always */
	"resolv-retry connect-retry-max preresolve auth-nocache auth-retry auth-token-user "
	"allow-compression comp-noadapt mssfix ncp-disable compat-mode push-peer-info keysize key-method "
	"replay-window replay-persist inactive session-timeout ping-timer-rem single-session "
	"setenv-safe no-name-remapping disable-occ tls-export-cert keying-material-exporter "
	"memstats tun-max-mtu tls-exit opt-verify prng use-prediction-resistance ecdh-curve dh x509-track",
};

#define PROXY "is not done: servers are called directly from the static address"
#define SERVER_SIDE "is a server's: only clients are done"
#define CHALLENGE "is not done: there is nobody to answer a question"
#define FOREIGN "is not done: certificate and key must be in files or blocks (cert, key)"

static const struct cp_ovpn_refusal refused[] = {
	{ "plugin", "is not done: programs of a profile never run" },
	{ "tls-verify",
	  "is not done: scripts never run; check the server by remote-cert-tls, verify-x509-name or peer-fingerprint" },
	{ "auth-user-pass-verify", SERVER_SIDE },
	{ "management",
	  "is not done: `sallyport status` and the other commands are there for that" },
	{ "static-challenge", CHALLENGE },
	{ "askpass", CHALLENGE ": decrypt the key (openssl pkey)" },
	{ "pkcs12", "is not done: take it apart (openssl pkcs12 -nodes) into cert, key and ca" },
	{ "extra-certs", "is not done: put these certificates behind ours in cert" },
	{ "capath", "is not done: put the certificates into one file (ca)" },
	{ "cryptoapicert", FOREIGN },
	{ "engine", FOREIGN },
	{ "providers", FOREIGN },
	{ "http-proxy", PROXY },
	{ "socks-proxy", PROXY },
	{ "pkcs11", FOREIGN },
	{ "remote-random-hostname", "is not done: write the name that the server has" },
	{ "config", "is not done: a profile is one file" },
	{ "cd", "is not done: files count from the profile's directory" },
	{ "secret", "is not done: static keys without TLS are not safe, and not negotiated" },
	{ "ifconfig", "is not done: the server gives the inner address" },
	{ "client-nat",
	  "is not done: a forward's target is an address of the customer's network itself" },
	{ "link-mtu", "is not done: use tun-mtu" },
	{ "tun-mtu-extra", "is not done: use tun-mtu" },
	{ "shaper", "is not done: use the environment's `rate`" },
	{ "no-replay", "is not done: replayed packets are always refused" },
	{ "no-iv", "is not done: it was never safe" },
	{ "ns-cert-type", "is not done: write `remote-cert-tls server`" },
	{ "tls-remote", "is not done: write `verify-x509-name NAME name`" },
	{ "verify-hash", "is not done: use peer-fingerprint, or the authority as `ca`" },
	{ "x509-username-field", "is not done: verify-x509-name compares the common name" },
	{ "server", SERVER_SIDE },
	{ "server-bridge", SERVER_SIDE },
	{ "tls-server", SERVER_SIDE },
	{ "push", SERVER_SIDE },
	{ "vlan-tagging", "is not done: frames are not carried" },
	{ "auth-token",
	  "is not done: a token is the server's to give, log in by account and password" },
};

/* Whether NAME is one of WORDS, which blanks separate. */
static bool is_among(const char *words, const char *name)
{
	const size_t length = strlen(name);

	while (*words) {
		const size_t here = strcspn(words, " ");

		if (here == length && strncmp(words, name, length) == 0)
			return true;
		words += here + (words[here] == ' ');
	}
	return false;
}

bool cp_ovpn_is_skipped(const char *name)
{
	for (size_t i = 0; *name && i < sizeof(skipped) / sizeof(skipped[0]); i++) {
		if (is_among(skipped[i], name))
			return true;
	}
	return false;
}

const struct cp_ovpn_refusal *cp_ovpn_find_refusal(const char *name)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const size_t length = strlen(refused[i].name);

		if (strncmp(refused[i].name, name, length) == 0 &&
		    (name[length] == 0 || name[length] == '-'))
			return &refused[i];
	}
	return NULL;
}
