/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcharon's socket_t over PUNT_TX and PUNT_RX.
 *
 * On port 4500 the payload begins with the non-ESP marker in both directions: libcharon adds and
 * strips it. The thread that receives waits in poll() on a socket pair, where libcharon can cancel
 * it.
 */
#include "controlplane/ike_socket.h"

#include <daemon.h>
#include <encoding/payloads/ike_header.h>
#include <threading/thread.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/log.h"
#include "controlplane/ike_host.h"

#define NON_ESP_MARKER 4u
#define IKE_EXCHANGE 18u /* offsets in the IKE header, RFC 7296 section 3.1 */
#define IKE_FLAGS 19u
#define IKE_FLAG_RESPONSE 0x20u

typedef struct private_socket_t private_socket_t;

struct private_socket_t {
	socket_t public;
	struct cp_ike *ike;
	int inlet; /* non-blocking: written by cp_ike_socket_receive() */
	int outlet;
};

/* libcharon's constructor takes no argument, and has one socket a process; it lives until the
 * process ends. */
static struct cp_ike *ike_to_attach;
static private_socket_t *the_socket;

/* Waits for a datagram: *PUNT and up to SIZE bytes of PAYLOAD. Returns the payload's length or
 * -errno. */
static ssize_t take_datagram(private_socket_t *this, struct ipc_punt *punt, void *payload,
                             size_t size)
{
	struct iovec parts[2] = { { punt, sizeof(*punt) }, { payload, size } };
	struct pollfd input = { .fd = this->outlet, .events = POLLIN };
	ssize_t length;
	bool old;
	int rc;

	old = thread_cancelability(TRUE);
	rc = poll(&input, 1, -1);
	thread_cancelability(old);
	if (rc < 0)
		return -errno;
	length = readv(this->outlet, parts, 2);
	if (length < 0)
		return -errno;
	return length < (ssize_t)sizeof(*punt) ? -EBADMSG : length - (ssize_t)sizeof(*punt);
}

METHOD(socket_t, receive, status_t, private_socket_t *this, packet_t **packet)
{
	struct ipc_punt punt;
	uint8_t payload[IPC_PUNT_MAX];
	ssize_t length;

	do {
		length = take_datagram(this, &punt, payload, sizeof(payload));
	} while (length == -EINTR || length == -EAGAIN);
	if (length < 0)
		return FAILED;
	*packet = packet_create_from_data(
		cp_ike_host_of(punt.source_be, ntohs(punt.source_port_be)),
		cp_ike_host_of(punt.destination_be, ntohs(punt.destination_port_be)),
		chunk_clone(chunk_create(payload, length)));
	return SUCCESS;
}

METHOD(socket_t, send_packet, status_t, private_socket_t *this, packet_t *packet)
{
	chunk_t data = packet->get_data(packet);
	host_t *source = packet->get_source(packet), *destination = packet->get_destination(packet);
	struct ipc_punt punt = { .length = data.len };
	int rc;

	if (this->ike->is_muted)
		return SUCCESS;
	if (data.len > IPC_PUNT_MAX)
		return FAILED;
	punt.source_be = cp_ike_address_of(source);
	punt.source_port_be = htons(source->get_port(source));
	punt.destination_be = cp_ike_address_of(destination);
	punt.destination_port_be = htons(destination->get_port(destination));
	rc = cp_dp_send_datagram(this->ike->dp, &punt, data.ptr);
	if (rc != 0) /* as good as lost on the way: libcharon sends it again */
		sp_log(SP_LOG_DEBUG, "ike: a datagram was not sent error=%s", strerror(-rc));
	return rc == 0 ? SUCCESS : FAILED;
}

METHOD(socket_t, get_port, uint16_t, private_socket_t *this, bool nat_t)
{
	/* Asked for the IKE_SA that this thread works on, when its ports float to those of NAT
	 * traversal. */
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	const struct cp_ike_tunnel *tunnel =
		ike_sa ? cp_ike_find(this->ike, ike_sa->get_name(ike_sa)) : NULL;

	if (!tunnel)
		return nat_t ? CP_IKE_NATT_PORT : CP_IKE_PORT;
	return nat_t ? tunnel->server->natt_port : tunnel->server->ike_port;
}

METHOD(socket_t, supported_families, socket_family_t, private_socket_t *this)
{
	return SOCKET_FAMILY_IPV4;
}

METHOD(socket_t, destroy, void, private_socket_t *this)
{
	the_socket = NULL;
	close(this->inlet);
	close(this->outlet);
	free(this);
}

static socket_t *create(void)
{
	private_socket_t *this;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return NULL;
	INIT(this,
		.public = {
			.send = _send_packet,
			.receive = _receive,
			.get_port = _get_port,
			.supported_families = _supported_families,
			.destroy = _destroy,
		},
		.ike = ike_to_attach,
		.inlet = pair[0],
		.outlet = pair[1],
	);
	the_socket = this;
	return &this->public;
}

int cp_ike_socket_attach(struct cp_ike *ike)
{
	ike_to_attach = ike;
	charon->socket->add_socket(charon->socket, create);
	return the_socket ? 0 : -EMFILE;
}

void cp_ike_socket_detach(void)
{
	charon->socket->remove_socket(charon->socket, create);
}

/* Whether somebody asks us for an IKE_SA: we only ask, and stay silent. */
static bool is_new_request(const struct ipc_punt *punt, const uint8_t *payload)
{
	/* as libcharon tells them apart */
	const bool is_marked = punt->source_port_be != htons(CP_IKE_PORT) &&
	                       punt->destination_port_be != htons(CP_IKE_PORT);
	const size_t start = is_marked ? NON_ESP_MARKER : 0;

	return punt->length > start + IKE_FLAGS && payload[start + IKE_EXCHANGE] == IKE_SA_INIT &&
	       !(payload[start + IKE_FLAGS] & IKE_FLAG_RESPONSE);
}

void cp_ike_socket_receive(const struct ipc_punt *punt, const void *payload)
{
	struct iovec parts[2] = { { (void *)punt, sizeof(*punt) },
		                  { (void *)payload, punt->length } };

	if (!the_socket || the_socket->ike->is_muted || is_new_request(punt, payload))
		return;
	if (writev(the_socket->inlet, parts, 2) < 0 && errno != EAGAIN)
		sp_log(SP_LOG_WARN, "ike: a datagram was lost error=%s", strerror(errno));
}
