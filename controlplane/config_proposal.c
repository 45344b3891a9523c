/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IKE proposals in strongSwan's syntax: the words that the control plane's plugins know, and what a
 * proposal is made of.
 */
#include "controlplane/config_read.h"

#include <string.h>

enum word_kind {
	WORD_CIPHER = 0x1,
	WORD_AEAD = 0x2, /* encrypts and authenticates */
	WORD_INTEGRITY = 0x4,
	WORD_PRF = 0x8,
	WORD_GROUP = 0x10,
};

#define CIPHERS "aes128 aes192 aes256 camellia128 camellia192 camellia256 3des"
#define AEADS \
	"aes128gcm16 aes192gcm16 aes256gcm16 aes128gcm12 aes192gcm12 aes256gcm12 aes128gcm8 aes192gcm8 aes256gcm8 chacha20poly1305"
#define INTEGRITIES "sha1 sha256 sha384 sha512"
#define PRFS "prfsha1 prfsha256 prfsha384 prfsha512"
#define GROUPS                                                                                             \
	"ecp224 ecp256 ecp384 ecp521 ecp224bp ecp256bp ecp384bp ecp512bp x25519 curve25519 x448 curve448 " \
	"modp1024 modp1536 modp2048 modp3072 modp4096 modp6144 modp8192"

static const struct {
	enum word_kind kind;
	const char *words;
} kinds[] = {
	{ WORD_CIPHER, CIPHERS }, { WORD_AEAD, AEADS },   { WORD_INTEGRITY, INTEGRITIES },
	{ WORD_PRF, PRFS },       { WORD_GROUP, GROUPS },
};

static bool is_among(const char *words, const char *word, size_t length)
{
	while (*words) {
		size_t here = strcspn(words, " ");

		if (here == length && strncmp(words, word, length) == 0)
			return true;
		words += here + (words[here] == ' ');
	}
	return false;
}

/* 0: not a word of ours. */
static unsigned kind_of(const char *word, size_t length)
{
	for (size_t i = 0; length && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (is_among(kinds[i].words, word, length))
			return kinds[i].kind;
	}
	return 0;
}

const char *cp_ike_proposal_fault(const char *proposal)
{
	unsigned found = 0;

	for (;;) {
		size_t length = strcspn(proposal, "-");
		unsigned kind = kind_of(proposal, length);

		if (!kind)
			return "must be words joined by '-'; these are known: encryption " CIPHERS
			       ", or " AEADS "; integrity " INTEGRITIES
			       "; pseudo-random function " PRFS "; key exchange " GROUPS;
		found |= kind;
		if (proposal[length] == 0)
			break;
		proposal += length + 1;
	}
	if ((found & WORD_CIPHER) && (found & WORD_AEAD))
		return "must not have gcm or chacha20poly1305 beside other encryption: make two proposals of it";
	if (!(found & (WORD_CIPHER | WORD_AEAD)))
		return "must have an encryption, as in \"aes256gcm16-prfsha384-ecp384\"";
	if ((found & WORD_CIPHER) && !(found & WORD_INTEGRITY))
		return "must have an integrity, as in \"aes256-sha256-ecp256\"";
	if ((found & WORD_AEAD) && !(found & (WORD_PRF | WORD_INTEGRITY)))
		return "must have a pseudo-random function, as in \"aes256gcm16-prfsha384-ecp384\"";
	if (!(found & WORD_GROUP))
		return "must have a key exchange, as in \"aes256gcm16-prfsha384-ecp384\"";
	return NULL;
}
