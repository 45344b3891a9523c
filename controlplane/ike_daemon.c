/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcharon's life in this process, and what the supervisor asks of it.
 */
#include "controlplane/ike_daemon.h"

#include <daemon.h>
#include <processing/jobs/callback_job.h>
#include <sa/ikev2/tasks/ike_dpd.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log.h"
#include "controlplane/ike_config.h"
#include "controlplane/ike_creds.h"
#include "controlplane/ike_dns.h"
#include "controlplane/ike_early.h"
#include "controlplane/ike_keepsake.h"
#include "controlplane/ike_kernel.h"
#include "controlplane/ike_listener.h"
#include "controlplane/ike_log.h"
#include "controlplane/ike_revocation.h"
#include "controlplane/ike_socket.h"

/* The layout that the libraries were built with; ike_abi.h is wrong if this is. */
_Static_assert(sizeof(daemon_t) == 176, "daemon_t is not the one of Debian's build");

#define NAMESPACE "sallyport" /* of the settings below */
#define PLUGINS                                                                                                \
	"nonce openssl kdf pem pkcs1 pkcs8 x509 revocation curl constraints pubkey eap-identity eap-mschapv2 " \
	"eap-tls"
/* libcharon's own number of threads, and as many more as tunnels may wait for a CRL server. */
#define THREADS 16u
#define THREADS_MAX 64u
#define FREEZE_PATIENCE_MS 2000u

/* Before the bus exists. */
static void log_early(debug_t group, level_t level, char *format, ...)
{
	char line[512];
	va_list arguments;

	if (level > 0)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	sp_log(SP_LOG_WARN, "charon: %s", line);
}

static u_int count_threads(size_t tunnel_count)
{
	return tunnel_count < THREADS_MAX - THREADS ? THREADS + tunnel_count : THREADS_MAX;
}

/* There is no strongswan.conf: this is all of it. */
static void configure(size_t tunnel_count)
{
	static const struct {
		const char *key;
		const char *value;
	} settings[] = {
		/* a lost datagram is sent again after 0.5, 0.8, 1.1, 1.7, 2.5 s ..., at last every
		   10 s; who gives up, and when, is ike_listener.c's */
		{ "retransmit_timeout", "0.5" },
		{ "retransmit_base", "1.5" },
		{ "retransmit_limit", "10" },
		{ "retransmit_tries", "1000" },
		{ "make_before_break", "yes" }, /* reauthentication */
		{ "delete_rekeyed_delay",
		  "5" }, /* the old inbound CHILD_SA still takes what is on its way */
		{ "close_ike_on_child_failure", "yes" },
		{ "keep_alive", "0" },   /* of NATs: the dataplane sends them */
		{ "reuse_ikesa", "no" }, /* an attempt never rides on an IKE_SA that was given up */
		{ "follow_redirects", "no" },
		{ "initiator_only",
		  "yes" }, /* who asks us for an IKE_SA of any version is not answered */
		{ "install_routes", "no" },
		/* a CRL or OCSP server that does not answer holds up its own tunnel, this long */
		{ "plugins.revocation.timeout", "4" },
		{ "plugins.curl.redir", "3" },
	};

	for (size_t i = 0; i < countof(settings); i++)
		lib->settings->set_str(lib->settings, "%s.%s", (char *)settings[i].value, NAMESPACE,
		                       settings[i].key);
	lib->settings->set_int(lib->settings, "%s.threads", count_threads(tunnel_count), NAMESPACE);
}

static bool register_kernel(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *ike)
{
	if (reg)
		return cp_ike_kernel_attach(ike) == 0;
	cp_ike_kernel_detach();
	return TRUE;
}

static bool register_net(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *ike)
{
	if (reg)
		return cp_ike_net_attach(ike) == 0;
	cp_ike_net_detach();
	return TRUE;
}

static bool register_socket(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *ike)
{
	if (reg)
		return cp_ike_socket_attach(ike) == 0;
	cp_ike_socket_detach();
	return TRUE;
}

static bool register_fetcher(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *ike)
{
	if (reg)
		return cp_ike_fetcher_attach(ike) == 0;
	cp_ike_fetcher_detach();
	return TRUE;
}

static bool register_revocation(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *ike)
{
	if (reg)
		return cp_ike_revocation_attach(ike) == 0;
	cp_ike_revocation_detach();
	return TRUE;
}

static bool register_rest(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *ike)
{
	if (reg)
		return cp_ike_creds_attach(ike) == 0 && cp_ike_listener_attach(ike) == 0 &&
		       cp_ike_early_attach(ike) == 0 && cp_ike_keepsake_attach(ike) == 0 &&
		       cp_ike_dns_attach() == 0;
	cp_ike_dns_detach();
	cp_ike_keepsake_detach();
	cp_ike_early_detach();
	cp_ike_listener_detach();
	cp_ike_creds_detach();
	return TRUE;
}

static int check_tunnels(struct cp_ike *ike)
{
	int rc = 0;

	for (size_t i = 0; i < ike->tunnel_count; i++) {
		char why[CP_WHY_LEN];

		if (!ike->tunnels[i].server->openvpn &&
		    cp_ike_config_check(ike->tunnels[i].server, why) != 0) {
			sp_log(SP_LOG_ERR, "ike: tunnel=%s: %s", ike->tunnels[i].name, why);
			rc = -EINVAL;
		}
	}
	return rc;
}

int cp_ike_start(struct cp_ike *ike)
{
	plugin_feature_t features[] = {
		PLUGIN_CALLBACK(register_fetcher, ike),
		PLUGIN_PROVIDE(CUSTOM, NAMESPACE "-fetcher"),
		PLUGIN_CALLBACK(register_kernel, ike),
		PLUGIN_PROVIDE(CUSTOM, "kernel-ipsec"),
		PLUGIN_CALLBACK(register_net, ike),
		PLUGIN_PROVIDE(CUSTOM, "kernel-net"),
		PLUGIN_CALLBACK(register_socket, ike),
		PLUGIN_PROVIDE(CUSTOM, "socket"),
		PLUGIN_CALLBACK(register_rest, ike),
		PLUGIN_PROVIDE(CUSTOM, NAMESPACE),
		PLUGIN_CALLBACK(register_revocation, ike),
		PLUGIN_PROVIDE(CUSTOM, NAMESPACE "-revocation"),
		PLUGIN_DEPENDS(CUSTOM, "revocation"),
	};

	dbg = log_early;
	if (!library_init("", NAMESPACE))
		goto err;
	configure(ike->tunnel_count);
	if (!libcharon_init())
		goto err;
	cp_ike_log_attach(ike->config->ike_log_level);
	lib->plugins->add_static_features(lib->plugins, NAMESPACE, features, countof(features),
	                                  TRUE, NULL, NULL);
	if (!charon->initialize(charon, PLUGINS))
		goto err;
	if (check_tunnels(ike) != 0)
		return -EINVAL;
	charon->start(charon);
	sp_log(SP_LOG_INFO, "ike: started tunnels=%zu", ike->tunnel_count);
	return 0;

err:
	sp_log(SP_LOG_ERR, "ike: libcharon did not start: are the plugins installed? needed: %s",
	       PLUGINS);
	return -ENOENT;
}

void cp_ike_expect(size_t tunnel_count)
{
	lib->processor->set_threads(lib->processor, count_threads(tunnel_count));
}

static job_requeue_t terminate(uint32_t *ike_id)
{
	charon->controller->terminate_ike(charon->controller, *ike_id, TRUE, NULL, NULL, 0);
	return JOB_REQUEUE_NONE;
}

static job_t *create_terminate_job(uint32_t ike_id)
{
	uint32_t *copy;

	INIT(copy, ike_id);
	return (job_t *)callback_job_create((callback_job_cb_t)terminate, copy, free, NULL);
}

void cp_ike_terminate(uint32_t ike_id)
{
	lib->processor->queue_job(lib->processor, create_terminate_job(ike_id));
}

void cp_ike_terminate_late(uint32_t ike_id, unsigned seconds)
{
	lib->scheduler->schedule_job(lib->scheduler, create_terminate_job(ike_id), seconds);
}

/* What stays are the jobs that never end: scheduler, sender and receiver, the critical ones. They
 * bring work that nobody does. */
static bool is_frozen(void)
{
	return lib->processor->get_total_threads(lib->processor) <=
	       lib->processor->get_working_threads(lib->processor, JOB_PRIO_CRITICAL);
}

void cp_ike_freeze(void)
{
	lib->processor->set_threads(lib->processor, 0);
	for (u_int waited_ms = 0; !is_frozen() && waited_ms < FREEZE_PATIENCE_MS; waited_ms++)
		usleep(1000);
}

void cp_ike_thaw(const struct cp_ike *ike)
{
	lib->processor->set_threads(lib->processor, count_threads(ike->tunnel_count));
}

static job_requeue_t check(uint32_t *ike_id)
{
	ike_sa_t *ike_sa = charon->ike_sa_manager->checkout_by_id(charon->ike_sa_manager, *ike_id);

	if (!ike_sa)
		return JOB_REQUEUE_NONE;
	if (ike_sa->get_state(ike_sa) == IKE_ESTABLISHED) {
		ike_sa->queue_task(ike_sa, (task_t *)ike_dpd_create(TRUE));
		if (ike_sa->initiate(ike_sa, NULL, NULL) == DESTROY_ME) {
			charon->ike_sa_manager->checkin_and_destroy(charon->ike_sa_manager, ike_sa);
			return JOB_REQUEUE_NONE;
		}
	}
	charon->ike_sa_manager->checkin(charon->ike_sa_manager, ike_sa);
	return JOB_REQUEUE_NONE;
}

void cp_ike_check(uint32_t ike_id)
{
	uint32_t *copy;

	INIT(copy, ike_id);
	lib->processor->queue_job(
		lib->processor,
		(job_t *)callback_job_create((callback_job_cb_t)check, copy, free, NULL));
}

void cp_ike_mute(struct cp_ike *ike)
{
	ike->is_muted = TRUE;
}
