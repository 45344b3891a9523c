/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcharon's kernel_ipsec_t over the contract: SPI_ALLOC, SA_ADD, SA_DEL, SA_QUERY, SA_UPDATE.
 *
 * Keys pass through here and are kept nowhere. Lifetimes are raised from here, as libcharon expects
 * it from a kernel; the dataplane enforces the hard one too, whatever happens to us.
 */
#include "controlplane/ike_kernel.h"

#include <daemon.h>
#include <processing/jobs/callback_job.h>
#include <processing/jobs/rekey_child_sa_job.h>

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/secret.h"
#include "controlplane/ike_early.h"
#include "controlplane/ike_host.h"
#include "controlplane/ike_sas.h"

/* How long an inbound SA stays after its successor was added, as with delete_rekeyed_delay. */
#define INBOUND_GRACE_S 5
#define EARLY_S 86400 /* lifetime of an early SA without rekeying */

typedef struct private_kernel_t private_kernel_t;
typedef struct expiry_t expiry_t;

struct private_kernel_t {
	kernel_ipsec_t public;
	struct cp_ike *ike;
	struct cp_ike_sas sas;
};

/** A lifetime that ends; owned by its job. */
struct expiry_t {
	struct ipc_sa_id id;
	u_int seconds_to_hard;
	bool is_hard;
};

/* libcharon has one kernel a process, and its constructor takes no argument. */
static struct cp_ike *ike_to_attach;
static private_kernel_t *kernel;

static const char *direction_name(uint8_t direction)
{
	return direction == IPC_IN ? "in" : "out";
}

/* An inbound SA's destination is our own address. */
static struct ipc_sa_id sa_id(private_kernel_t *this, kernel_ipsec_sa_id_t *id)
{
	struct ipc_sa_id sa = {
		.spi_be = id->spi,
		.destination_be = cp_ike_address_of(id->dst),
	};

	sa.direction = sa.destination_be == this->ike->config->uplink.address_be ? IPC_IN : IPC_OUT;
	return sa;
}

/* ---- lifetimes ---- */

static job_requeue_t expire(expiry_t *expiry)
{
	host_t *destination;

	if (kernel->ike->is_muted || !cp_ike_sas_has(&kernel->sas, &expiry->id))
		return JOB_REQUEUE_NONE;
	destination = cp_ike_host_of(expiry->id.destination_be, 0);
	charon->kernel->expire(charon->kernel, IPPROTO_ESP, expiry->id.spi_be, destination,
	                       expiry->is_hard);
	destination->destroy(destination);
	if (expiry->is_hard || expiry->seconds_to_hard == 0)
		return JOB_REQUEUE_NONE;
	expiry->is_hard = TRUE;
	return JOB_RESCHEDULE(expiry->seconds_to_hard);
}

static void schedule_expiry(const struct ipc_sa_id *id, const lifetime_cfg_t *lifetime)
{
	u_int soft = lifetime->time.rekey, hard = lifetime->time.life;
	expiry_t *expiry;

	if (soft == 0 && hard == 0)
		return;
	INIT(expiry, .id = *id, .is_hard = soft == 0 || (hard != 0 && hard <= soft), );
	if (!expiry->is_hard && hard)
		expiry->seconds_to_hard = hard - soft;
	lib->scheduler->schedule_job(
		lib->scheduler,
		(job_t *)callback_job_create((callback_job_cb_t)expire, expiry, free, NULL),
		expiry->is_hard ? hard : soft);
}

/* ---- kernel_ipsec_t ---- */

METHOD(kernel_ipsec_t, get_features, kernel_feature_t, private_kernel_t *this)
{
	/* Without KERNEL_POLICY_SPI a rekeyed outbound SA is added when the server is ready for it:
	 * the dataplane sends on the newest one from then on. */
	return KERNEL_NO_POLICY_UPDATES;
}

/* The key of an SA whose negotiation has only begun, where it can be told: what the server sends
 * right after it has processed our last message is decrypted, whether or not its answer arrives. It
 * is no fault if that cannot be done. */
static void add_early(private_kernel_t *this, const struct cp_ike_tunnel *tunnel, ike_sa_t *ike_sa,
                      uint32_t spi_be)
{
	host_t *local = ike_sa->get_my_host(ike_sa), *remote = ike_sa->get_other_host(ike_sa);
	const uint32_t rekey_s = tunnel->server->child_rekey_s;
	struct ipc_sa_add add = {
		.tunnel = tunnel->id,
		.id = { .spi_be = spi_be, .direction = IPC_IN },
		.flags = IPC_SA_EARLY,
		.local_be = cp_ike_address_of(local),
		.remote_be = cp_ike_address_of(remote),
		.replay_window = this->ike->config->replay_window,
		.hard_seconds =
			rekey_s ? 2 * rekey_s + 60 : EARLY_S, /* as long as it may come to live */
	};
	int rc = cp_ike_early_key(tunnel, &add);

	if (rc == 0) {
		add.id.destination_be = add.local_be;
		if (ike_sa->has_condition(ike_sa, COND_NAT_ANY)) {
			add.flags |= IPC_SA_UDP;
			add.local_port_be = htons(local->get_port(local));
			add.remote_port_be = htons(remote->get_port(remote));
		}
		rc = cp_dp_call(this->ike->dp, IPC_SA_ADD, &add, sizeof(add), NULL, 0);
	}
	sp_wipe(&add.key, sizeof(add.key));
	sp_log(SP_LOG_DEBUG, "ike: an early key tunnel=%s spi=%08x result=%s", tunnel->name,
	       ntohl(spi_be), strerror(-rc));
}

METHOD(kernel_ipsec_t, get_spi, status_t, private_kernel_t *this, host_t *src, host_t *dst,
       uint8_t protocol, uint32_t *spi)
{
	/* The IKE_SA this thread works on tells for which tunnel. */
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	const struct cp_ike_tunnel *tunnel =
		ike_sa ? cp_ike_find(this->ike, ike_sa->get_name(ike_sa)) : NULL;
	struct ipc_spi reply;
	int rc;

	if (!tunnel || protocol != IPPROTO_ESP || this->ike->is_muted)
		return FAILED;
	rc = cp_dp_call(this->ike->dp, IPC_SPI_ALLOC, &tunnel->id, sizeof(tunnel->id), &reply,
	                sizeof(reply));
	if (rc != 0) {
		cp_ike_explain(this->ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
		               "the dataplane gave no SPI: %s", strerror(-rc));
		return FAILED;
	}
	*spi = reply.spi_be;
	add_early(this, tunnel, ike_sa, reply.spi_be);
	return SUCCESS;
}

METHOD(kernel_ipsec_t, get_cpi, status_t, private_kernel_t *this, host_t *src, host_t *dst,
       uint16_t *cpi)
{
	return NOT_SUPPORTED;
}

/* strongSwan's algorithms and the lengths of their keys (salt included), and the contract's number.
 */
static const struct suite {
	uint16_t encryption;
	uint16_t integrity;
	uint8_t key_bytes;
	uint8_t integrity_bytes;
	uint16_t algorithm;
} suites[] = {
	{ ENCR_AES_GCM_ICV16, AUTH_UNDEFINED, 20, 0, IPC_AES128_GCM16 },
	{ ENCR_AES_GCM_ICV16, AUTH_UNDEFINED, 28, 0, IPC_AES192_GCM16 },
	{ ENCR_AES_GCM_ICV16, AUTH_UNDEFINED, 36, 0, IPC_AES256_GCM16 },
	{ ENCR_CHACHA20_POLY1305, AUTH_UNDEFINED, 36, 0, IPC_CHACHA20_POLY1305 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA1_96, 16, 20, IPC_AES128_CBC_SHA1_96 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_256_128, 16, 32, IPC_AES128_CBC_SHA256_128 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_384_192, 16, 48, IPC_AES128_CBC_SHA384_192 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_512_256, 16, 64, IPC_AES128_CBC_SHA512_256 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA1_96, 24, 20, IPC_AES192_CBC_SHA1_96 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_256_128, 24, 32, IPC_AES192_CBC_SHA256_128 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_384_192, 24, 48, IPC_AES192_CBC_SHA384_192 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_512_256, 24, 64, IPC_AES192_CBC_SHA512_256 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA1_96, 32, 20, IPC_AES256_CBC_SHA1_96 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_256_128, 32, 32, IPC_AES256_CBC_SHA256_128 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_384_192, 32, 48, IPC_AES256_CBC_SHA384_192 },
	{ ENCR_AES_CBC, AUTH_HMAC_SHA2_512_256, 32, 64, IPC_AES256_CBC_SHA512_256 },
};

/* 0: not one that the dataplane does. */
static uint16_t algorithm_of(const kernel_ipsec_add_sa_t *data)
{
	for (int i = 0; i < countof(suites); i++) {
		const struct suite *suite = &suites[i];

		if (suite->encryption == data->enc_alg && suite->key_bytes == data->enc_key.len &&
		    suite->integrity_bytes == data->int_key.len &&
		    (suite->integrity_bytes == 0 || suite->integrity == data->int_alg))
			return suite->algorithm;
	}
	return 0;
}

static void fill_sa(struct ipc_sa_add *add, kernel_ipsec_sa_id_t *id,
                    const kernel_ipsec_add_sa_t *data)
{
	host_t *local = data->inbound ? id->dst : id->src;
	host_t *remote = data->inbound ? id->src : id->dst;

	add->local_be = cp_ike_address_of(local);
	add->remote_be = cp_ike_address_of(remote);
	if (data->encap) {
		add->flags |= IPC_SA_UDP;
		add->local_port_be = htons(local->get_port(local));
		add->remote_port_be = htons(remote->get_port(remote));
	}
	if (data->esn)
		add->flags |= IPC_SA_ESN;
	add->algorithm = algorithm_of(data);
	add->key_length = data->enc_key.len + data->int_key.len;
	memcpy(add->key, data->enc_key.ptr, data->enc_key.len);
	if (data->int_key.len)
		memcpy(add->key + data->enc_key.len, data->int_key.ptr, data->int_key.len);
	add->replay_window = data->inbound ? data->replay_window : 0;
	add->hard_seconds = data->lifetime->time.life;
}

/* An SA whose addition was not acknowledged may be there all the same: it is taken back. If the
 * connection is gone as well, that is done when there is another one (strays.h). */
static void burn(private_kernel_t *this, const struct ipc_sa_id *id)
{
	int rc = cp_dp_call(this->ike->dp, IPC_SA_DEL, id, sizeof(*id), NULL, 0);

	if (rc != 0 && rc != -ENOENT)
		sp_log(SP_LOG_DEBUG, "ike: burned an SA spi=%08x error=%s", ntohl(id->spi_be),
		       strerror(-rc));
}

METHOD(kernel_ipsec_t, add_sa, status_t, private_kernel_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_add_sa_t *data)
{
	struct ipc_sa_add add = { 0 };
	int rc = 0;

	if (this->ike->is_muted || data->reqid == 0 || data->reqid > this->ike->tunnel_count)
		return FAILED;
	if (!algorithm_of(data) || data->mode != MODE_TUNNEL ||
	    data->enc_key.len + data->int_key.len > sizeof(add.key)) {
		sp_log(SP_LOG_ERR,
		       "ike: the dataplane does not do what was negotiated tunnel=%s encryption=%u integrity=%u",
		       this->ike->tunnels[data->reqid - 1].name, data->enc_alg, data->int_alg);
		return NOT_SUPPORTED;
	}
	add.tunnel = this->ike->tunnels[data->reqid - 1].id;
	add.id = sa_id(this, id);
	add.id.direction = data->inbound ? IPC_IN : IPC_OUT;
	fill_sa(&add, id, data);
	rc = cp_dp_call(this->ike->dp, IPC_SA_ADD, &add, sizeof(add), NULL, 0);
	sp_wipe(&add.key, sizeof(add.key));
	if (rc == 0)
		rc = cp_ike_sas_add(&this->sas, &add.id, data->reqid - 1, time_monotonic(NULL));
	if (rc != 0) {
		sp_log(SP_LOG_ERR,
		       "ike: the dataplane did not take an SA tunnel=%s spi=%08x direction=%s error=%s",
		       this->ike->tunnels[data->reqid - 1].name, ntohl(id->spi),
		       direction_name(add.id.direction), strerror(-rc));
		burn(this, &add.id);
		return FAILED;
	}
	this->ike->tunnels[data->reqid - 1].suite = CP_IKE_SUITE(add.algorithm, add.flags);
	if (data->inbound)
		schedule_expiry(&add.id, data->lifetime);
	sp_log(SP_LOG_DEBUG,
	       "ike: added an SA tunnel=%s spi=%08x direction=%s algorithm=%u udp=%d esn=%d window=%u life_s=%u",
	       this->ike->tunnels[data->reqid - 1].name, ntohl(id->spi),
	       direction_name(add.id.direction), add.algorithm, data->encap, data->esn,
	       add.replay_window, add.hard_seconds);
	return SUCCESS;
}

METHOD(kernel_ipsec_t, update_sa, status_t, private_kernel_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_update_sa_t *data)
{
	struct ipc_sa_update update = { .id = sa_id(this, id) };
	host_t *local = update.id.direction == IPC_IN ? data->new_dst : data->new_src;
	host_t *remote = update.id.direction == IPC_IN ? data->new_src : data->new_dst;
	int rc;

	if (this->ike->is_muted)
		return SUCCESS;
	update.local_be = cp_ike_address_of(local);
	update.remote_be = cp_ike_address_of(remote);
	if (data->new_encap) {
		update.flags = IPC_SA_UDP;
		update.local_port_be = htons(local->get_port(local));
		update.remote_port_be = htons(remote->get_port(remote));
	}
	rc = cp_dp_call(this->ike->dp, IPC_SA_UPDATE, &update, sizeof(update), NULL, 0);
	if (rc != 0)
		sp_log(SP_LOG_WARN, "ike: the dataplane did not update an SA spi=%08x error=%s",
		       ntohl(id->spi), strerror(-rc));
	return rc == 0 ? SUCCESS : FAILED;
}

METHOD(kernel_ipsec_t, query_sa, status_t, private_kernel_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_query_sa_t *data, uint64_t *bytes, uint64_t *packets, time_t *time)
{
	struct ipc_sa_id sa = sa_id(this, id);
	struct ipc_sa_info info;

	if (cp_dp_call(this->ike->dp, IPC_SA_QUERY, &sa, sizeof(sa), &info, sizeof(info)) != 0)
		return NOT_FOUND;
	if (bytes)
		*bytes = info.bytes;
	if (packets)
		*packets = info.packets;
	if (time) /* CLOCK_MONOTONIC, as libcharon's own time_monotonic() */
		*time = info.used_ns / 1000000000;
	return SUCCESS;
}

/* A dataplane that restarted does not know the SA: gone is gone. */
static void delete_sa(struct cp_ike *ike, const struct ipc_sa_id *id)
{
	int rc = cp_dp_call(ike->dp, IPC_SA_DEL, id, sizeof(*id), NULL, 0);

	if (rc != 0 && rc != -ENOENT)
		sp_log(SP_LOG_DEBUG, "ike: an SA was not deleted spi=%08x error=%s",
		       ntohl(id->spi_be), strerror(-rc));
}

static job_requeue_t delete_late(struct ipc_sa_id *id)
{
	if (!kernel->ike->is_muted)
		delete_sa(kernel->ike, id);
	return JOB_REQUEUE_NONE;
}

METHOD(kernel_ipsec_t, del_sa, status_t, private_kernel_t *this, kernel_ipsec_sa_id_t *id,
       kernel_ipsec_del_sa_t *data)
{
	struct ipc_sa_id sa = sa_id(this, id), *copy;
	bool is_late;

	if (this->ike->is_muted)
		return SUCCESS;
	is_late = cp_ike_sas_is_just_succeeded(&this->sas, &sa, time_monotonic(NULL),
	                                       INBOUND_GRACE_S);
	cp_ike_sas_del(&this->sas, &sa);
	if (!is_late) {
		delete_sa(this->ike, &sa);
		return SUCCESS;
	}
	/* a reauthentication: what the server has sent on the old SA is still on its way */
	copy = malloc_thing(struct ipc_sa_id);
	*copy = sa;
	lib->scheduler->schedule_job(
		lib->scheduler,
		(job_t *)callback_job_create((callback_job_cb_t)delete_late, copy, free, NULL),
		INBOUND_GRACE_S);
	return SUCCESS;
}

METHOD(kernel_ipsec_t, flush_sas, status_t, private_kernel_t *this)
{
	return SUCCESS; /* never: they may carry traffic */
}

/* The dataplane's policy is its configuration: one tunnel, one inner address. */
METHOD(kernel_ipsec_t, add_policy, status_t, private_kernel_t *this, kernel_ipsec_policy_id_t *id,
       kernel_ipsec_manage_policy_t *data)
{
	return SUCCESS;
}

METHOD(kernel_ipsec_t, query_policy, status_t, private_kernel_t *this, kernel_ipsec_policy_id_t *id,
       kernel_ipsec_query_policy_t *data, time_t *use_time)
{
	return NOT_SUPPORTED; /* libcharon asks query_sa() then */
}

METHOD(kernel_ipsec_t, del_policy, status_t, private_kernel_t *this, kernel_ipsec_policy_id_t *id,
       kernel_ipsec_manage_policy_t *data)
{
	return SUCCESS;
}

METHOD(kernel_ipsec_t, flush_policies, status_t, private_kernel_t *this)
{
	return SUCCESS;
}

METHOD(kernel_ipsec_t, bypass_socket, bool, private_kernel_t *this, int fd, int family)
{
	return TRUE;
}

METHOD(kernel_ipsec_t, enable_udp_decap, bool, private_kernel_t *this, int fd, int family,
       uint16_t port)
{
	return TRUE;
}

METHOD(kernel_ipsec_t, destroy, void, private_kernel_t *this)
{
	cp_ike_sas_fini(&this->sas);
	kernel = NULL;
	free(this);
}

static kernel_ipsec_t *create(void)
{
	private_kernel_t *this;

	INIT(this,
		.public = {
			.get_features = _get_features,
			.get_spi = _get_spi,
			.get_cpi = _get_cpi,
			.add_sa = _add_sa,
			.update_sa = _update_sa,
			.query_sa = _query_sa,
			.del_sa = _del_sa,
			.flush_sas = _flush_sas,
			.add_policy = _add_policy,
			.query_policy = _query_policy,
			.del_policy = _del_policy,
			.flush_policies = _flush_policies,
			.bypass_socket = _bypass_socket,
			.enable_udp_decap = _enable_udp_decap,
			.destroy = _destroy,
		},
		.ike = ike_to_attach,
	);
	cp_ike_sas_init(&this->sas);
	kernel = this;
	return &this->public;
}

int cp_ike_kernel_attach(struct cp_ike *ike)
{
	ike_to_attach = ike;
	return charon->kernel->add_ipsec_interface(charon->kernel, create) ? 0 : -EBUSY;
}

void cp_ike_kernel_detach(void)
{
	charon->kernel->remove_ipsec_interface(charon->kernel, create);
}

void cp_ike_kernel_rekey(uint32_t spi_be, uint32_t destination_be)
{
	host_t *destination = cp_ike_host_of(destination_be, 0);

	lib->processor->queue_job(
		lib->processor, (job_t *)rekey_child_sa_job_create(PROTO_ESP, spi_be, destination));
	destination->destroy(destination);
}

bool cp_ike_kernel_has(const struct ipc_sa_id *id)
{
	return cp_ike_sas_has(&kernel->sas, id);
}
