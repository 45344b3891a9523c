/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The customer's name servers. libcharon asks for what a handler wants, and keeps what the server
 * answers with the IKE_SA.
 */
#include "controlplane/ike_dns.h"

#include <daemon.h>

#include <string.h>

typedef struct private_handler_t private_handler_t;

struct private_handler_t {
	attribute_handler_t public;
};

static private_handler_t *handler;

/* A request without an address: any. */
typedef struct {
	enumerator_t public;
	bool is_asked;
} dns_enumerator_t;

METHOD(enumerator_t, enumerate_dns, bool, dns_enumerator_t *this, va_list args)
{
	configuration_attribute_type_t *type;
	chunk_t *data;

	VA_ARGS_VGET(args, type, data);
	if (this->is_asked)
		return FALSE;
	this->is_asked = TRUE;
	*type = INTERNAL_IP4_DNS;
	*data = chunk_empty;
	return TRUE;
}

METHOD(attribute_handler_t, create_attribute_enumerator, enumerator_t *, private_handler_t *this,
       ike_sa_t *ike_sa, linked_list_t *vips)
{
	dns_enumerator_t *enumerator;

	INIT(enumerator,
	     .public = {
		     .enumerate = enumerator_enumerate_default,
		     .venumerate = _enumerate_dns,
		     .destroy = (void *)free,
	     }, );
	return &enumerator->public;
}

/* It stays with the IKE_SA, which is all that is to be done. */
METHOD(attribute_handler_t, handle, bool, private_handler_t *this, ike_sa_t *ike_sa,
       configuration_attribute_type_t type, chunk_t data)
{
	return type == INTERNAL_IP4_DNS;
}

METHOD(attribute_handler_t, release, void, private_handler_t *this, ike_sa_t *ike_sa,
       configuration_attribute_type_t type, chunk_t data)
{
}

int cp_ike_dns_attach(void)
{
	INIT(handler,
	     .public = {
		     .handle = _handle,
		     .release = _release,
		     .create_attribute_enumerator = _create_attribute_enumerator,
	     }, );
	charon->attributes->add_handler(charon->attributes, &handler->public);
	return 0;
}

void cp_ike_dns_detach(void)
{
	charon->attributes->remove_handler(charon->attributes, &handler->public);
	free(handler);
	handler = NULL;
}

void cp_ike_dns_collect(ike_sa_t *ike_sa, struct cp_told *told)
{
	enumerator_t *enumerator = ike_sa->create_attribute_enumerator(ike_sa);
	configuration_attribute_type_t type;
	chunk_t data;
	bool is_handled;

	while (told->dns_count < CP_DNS_MAX &&
	       enumerator->enumerate(enumerator, &type, &data, &is_handled)) {
		if (type == INTERNAL_IP4_DNS && data.len == sizeof(told->dns_be[0]))
			memcpy(&told->dns_be[told->dns_count++], data.ptr, data.len);
	}
	enumerator->destroy(enumerator);
}
