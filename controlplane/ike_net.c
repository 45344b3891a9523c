/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcharon's kernel_net_t: one uplink with one address; virtual IPs and routes are the dataplane's
 * matter.
 */
#include "controlplane/ike_kernel.h"

#include <daemon.h>

#include <errno.h>

#define INTERFACE_NAME "uplink"

typedef struct private_net_t private_net_t;

struct private_net_t {
	kernel_net_t public;
	uint32_t address_be;
};

/* libcharon has one network a process, and its constructor takes no argument. */
static struct cp_ike *ike_to_attach;

METHOD(kernel_net_t, get_features, kernel_feature_t, private_net_t *this)
{
	return 0;
}

METHOD(kernel_net_t, get_source_addr, host_t *, private_net_t *this, host_t *dest, host_t *src)
{
	return host_create_from_chunk(AF_INET, chunk_from_thing(this->address_be), 0);
}

METHOD(kernel_net_t, get_nexthop, host_t *, private_net_t *this, host_t *dest, int prefix,
       host_t *src, char **iface)
{
	if (iface)
		*iface = strdup(INTERFACE_NAME);
	return dest->clone(dest);
}

METHOD(kernel_net_t, get_interface, bool, private_net_t *this, host_t *host, char **name)
{
	if (name)
		*name = strdup(INTERFACE_NAME);
	return TRUE;
}

METHOD(kernel_net_t, create_address_enumerator, enumerator_t *, private_net_t *this,
       kernel_address_type_t which)
{
	return enumerator_create_empty();
}

METHOD(kernel_net_t, create_local_subnet_enumerator, enumerator_t *, private_net_t *this)
{
	return enumerator_create_empty();
}

METHOD(kernel_net_t, add_ip, status_t, private_net_t *this, host_t *virtual_ip, int prefix,
       char *iface)
{
	return SUCCESS;
}

METHOD(kernel_net_t, del_ip, status_t, private_net_t *this, host_t *virtual_ip, int prefix,
       bool wait)
{
	return SUCCESS;
}

METHOD(kernel_net_t, change_route, status_t, private_net_t *this, chunk_t dst_net,
       uint8_t prefixlen, host_t *gateway, host_t *src_ip, char *if_name, bool pass)
{
	return SUCCESS;
}

METHOD(kernel_net_t, destroy, void, private_net_t *this)
{
	free(this);
}

static kernel_net_t *create(void)
{
	private_net_t *this;

	INIT(this,
		.public = {
			.get_features = _get_features,
			.get_source_addr = _get_source_addr,
			.get_nexthop = _get_nexthop,
			.get_interface = _get_interface,
			.create_address_enumerator = _create_address_enumerator,
			.create_local_subnet_enumerator = _create_local_subnet_enumerator,
			.add_ip = _add_ip,
			.del_ip = _del_ip,
			.add_route = _change_route,
			.del_route = _change_route,
			.destroy = _destroy,
		},
		.address_be = ike_to_attach->config->uplink.address_be,
	);
	return &this->public;
}

int cp_ike_net_attach(struct cp_ike *ike)
{
	ike_to_attach = ike;
	return charon->kernel->add_net_interface(charon->kernel, create) ? 0 : -EBUSY;
}

void cp_ike_net_detach(void)
{
	charon->kernel->remove_net_interface(charon->kernel, create);
}
