/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forms of text in the configuration: devices, lists of cores, addresses of servers, proposals.
 */
#include "controlplane/config_read.h"

#include <errno.h>
#include <string.h>

#include "common/netaddr.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define HEX DIGITS "abcdefABCDEF"
#define CORE_MAX 1023u
#define AMOUNT_MAX (UINT64_C(1) << 60)
#define INTERFACE_LEN 16u /* of the kernel, NUL included */

static const char device_forms[] =
	"must be a PCI address (\"0000:00:06.0\"), mac:ADDRESS, af_packet:INTERFACE, af_xdp:INTERFACE, "
	"memif:PATH[,role=server|client] or vdev:net_NAME[,ARGUMENTS]";

/* Whether TEXT has the shape of PATTERN, where 'x' is a hexadecimal digit. */
static bool has_shape(const char *text, const char *pattern)
{
	for (; *pattern; pattern++, text++) {
		if (*pattern == 'x' ? !*text || !strchr(HEX, *text) : *text != *pattern)
			return false;
	}
	return *text == 0;
}

/* Returns what follows PREFIX, or NULL. */
static const char *after_prefix(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static bool is_pci_address(const char *text)
{
	return has_shape(text, "xxxx:xx:xx.x") && text[11] >= '0' && text[11] <= '7';
}

static bool is_unicast_mac(const char *text)
{
	/* The lowest bit of the first byte marks a group address. */
	return has_shape(text, "xx:xx:xx:xx:xx:xx") && strchr("02468aceACE", text[1]) &&
	       strcmp(text, "00:00:00:00:00:00") != 0;
}

static bool is_interface(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length < INTERFACE_LEN &&
	       strspn(text, LOWER UPPER DIGITS "._-") == length && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0;
}

static bool is_memif(const char *text)
{
	size_t path = strcspn(text, ",");

	if (text[0] != '/' || strspn(text, LOWER UPPER DIGITS "/._@-") != path)
		return false;
	return text[path] == 0 || strcmp(text + path, ",role=server") == 0 ||
	       strcmp(text + path, ",role=client") == 0;
}

static bool is_virtual_device(const char *text)
{
	const char *name = after_prefix(text, "net_");
	size_t length = strlen(text);

	return name && strspn(name, LOWER DIGITS "_") > 0 &&
	       strspn(text, LOWER UPPER DIGITS "_,=/.:@-") == length;
}

const char *cp_device_fault(const char *device)
{
	const char *rest;
	bool is_good;

	if ((rest = after_prefix(device, "mac:")))
		is_good = is_unicast_mac(rest);
	else if ((rest = after_prefix(device, "af_packet:")) ||
	         (rest = after_prefix(device, "af_xdp:")))
		is_good = is_interface(rest);
	else if ((rest = after_prefix(device, "memif:")))
		is_good = is_memif(rest);
	else if ((rest = after_prefix(device, "vdev:")))
		is_good = is_virtual_device(rest);
	else
		is_good = is_pci_address(device);
	return is_good ? NULL : device_forms;
}

/* Reads a number up to CORE_MAX; NULL: there is none. */
static const char *read_core(const char *text, unsigned *core)
{
	const char *start = text;

	*core = 0;
	for (; *text >= '0' && *text <= '9' && text - start < 4; text++)
		*core = *core * 10 + (unsigned)(*text - '0');
	return text == start || *core > CORE_MAX ? NULL : text;
}

const char *cp_cores_fault(const char *cores)
{
	static const char forms[] =
		"must be \"auto\" or a list of cores as \"2-5,8\", each named once, 0 to 1023";
	bool is_taken[CORE_MAX + 1] = { false };
	unsigned first, last;

	if (strcmp(cores, "auto") == 0)
		return NULL;
	for (;;) {
		cores = read_core(cores, &first);
		if (!cores)
			return forms;
		last = first;
		if (*cores == '-')
			cores = read_core(cores + 1, &last);
		if (!cores || last < first)
			return forms;
		for (unsigned core = first; core <= last; core++) {
			if (is_taken[core])
				return forms;
			is_taken[core] = true;
		}
		if (*cores == 0)
			return NULL;
		if (*cores++ != ',')
			return forms;
	}
}

/* RFC 1123 section 2.1; the last label is not a number, so that a mistyped address is not taken for
 * a name. */
static bool is_host_name(const char *text)
{
	const char *last = strrchr(text, '.');

	last = last ? last + 1 : text;
	if (strlen(text) > 253 || strspn(last, DIGITS) == strlen(last))
		return false;
	for (;;) {
		size_t length = strspn(text, LOWER UPPER DIGITS "-");

		if (length < 1 || length > 63 || text[0] == '-' || text[length - 1] == '-')
			return false;
		if (text[length] == 0)
			return true;
		if (text[length] != '.')
			return false;
		text += length + 1;
	}
}

const char *cp_server_address_fault(const char *address)
{
	uint32_t address_be;

	if (sp_address_parse(address, &address_be) == 0)
		return sp_address_is_martian(address_be) ? "must be a unicast address" : NULL;
	return is_host_name(address) ? NULL : "must be an IPv4 address or a DNS name";
}

static bool is_one_of(const char *token, const char *const *words)
{
	while (*words && strcmp(token, *words) != 0)
		words++;
	return *words != NULL;
}

/* What may follow the ciphers: the key exchange of a rekey, and extended sequence numbers. */
static bool is_esp_addition(const char *token)
{
	static const char *const groups[] = { "modp", "ecp", "curve", "x25519", "x448" };

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (after_prefix(token, groups[i]))
			return true;
	}
	return strcmp(token, "esn") == 0 || strcmp(token, "noesn") == 0;
}

static const char esp_forms[] =
	"must be ciphers of one kind: aes128gcm16, aes192gcm16, aes256gcm16, chacha20poly1305; or aes128, aes192, aes256 "
	"together with sha1, sha256, sha384, sha512; then key exchange groups, esn or noesn, joined by '-'; "
	"this version does no other ESP algorithm";

/* RFC 7296 section 3.3: ciphers that authenticate and those that need an HMAC do not share a
 * proposal. */
const char *cp_esp_proposal_fault(const char *proposal)
{
	static const char *const aeads[] = { "aes128gcm16", "aes192gcm16", "aes256gcm16",
		                             "chacha20poly1305", NULL };
	static const char *const ciphers[] = { "aes128", "aes192", "aes256", NULL };
	static const char *const integrities[] = { "sha1", "sha256", "sha384", "sha512", NULL };
	size_t aead_count = 0, cipher_count = 0, integrity_count = 0;
	char token[32];

	for (;;) {
		size_t length = strcspn(proposal, "-");

		if (length < 1 || length >= sizeof(token) ||
		    strspn(proposal, LOWER DIGITS) < length)
			return esp_forms;
		memcpy(token, proposal, length);
		token[length] = 0;
		if (is_one_of(token, aeads))
			aead_count++;
		else if (is_one_of(token, ciphers))
			cipher_count++;
		else if (aead_count + cipher_count == 0)
			return esp_forms;
		else if (is_one_of(token, integrities))
			integrity_count++;
		else if (!is_esp_addition(token))
			return esp_forms;
		if (proposal[length] == 0)
			break;
		proposal += length + 1;
	}
	if (aead_count > 0 && cipher_count + integrity_count > 0)
		return "must not mix: aes...gcm16 and chacha20poly1305 go into one proposal, aes128 to aes256 with "
		       "their sha... into another one";
	if (aead_count == 0 && integrity_count == 0)
		return "aes128, aes192 and aes256 need sha256, sha384, sha512 or sha1 beside them";
	return NULL;
}

const char *cp_user_fault(const char *user)
{
	size_t length = strlen(user);

	if (length < 1 || length >= IPC_NAME_LEN || !strchr(LOWER "_", user[0]) ||
	    strspn(user, LOWER DIGITS "_-") != length)
		return "must be the name of a system user";
	return NULL;
}

int cp_amount_parse(const char *text, uint64_t *amount)
{
	static const char units[] = "KMGT";
	const char *unit;
	uint64_t value = 0;

	if (strspn(text, DIGITS) == 0 || strspn(text, DIGITS) > 19)
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	unit = *text ? strchr(units, *text) : NULL;
	if (*text && (!unit || text[1]))
		return -EINVAL;
	for (const char *at = units; unit && at <= unit; at++) {
		if (value > AMOUNT_MAX >> 10)
			return -EINVAL;
		value <<= 10;
	}
	*amount = value;
	return value <= AMOUNT_MAX ? 0 : -EINVAL;
}

bool cp_key_text_is_encrypted(const char *text, size_t length)
{
	return memmem(text, length, "ENCRYPTED PRIVATE KEY", 21) ||
	       memmem(text, length, "Proc-Type: 4,ENCRYPTED", 22);
}
