/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport-dataplane: waits for its control plane, then forwards packets until it is told to stop.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ipc_codec.h"
#include "common/log.h"
#include "common/secret.h"
#include "dataplane/core.h"
#include "dataplane/ctl.h"

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static int usage(FILE *to, int status)
{
	fprintf(to,
	        "usage: sallyport-dataplane --instance NAME [--run-dir DIR] [--user USER] [--log-level 0..3]\n"
	        "\n"
	        "Forwards the packets of the gateway NAME. Everything else it is told by its control plane, over\n"
	        "DIR/dataplane.sock (DIR: /run/sallyport/NAME). USER (sallyport) and root may connect.\n");
	return status;
}

struct options {
	const char *instance;
	const char *run_dir;
	const char *user;
	int log_level;
};

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "instance", required_argument, NULL, 'i' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "user", required_argument, NULL, 'u' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'i':
			o->instance = optarg;
			break;
		case 'r':
			o->run_dir = optarg;
			break;
		case 'u':
			o->user = optarg;
			break;
		case 'l':
			if (strlen(optarg) != 1 || *optarg < '0' || *optarg > '3')
				return -EINVAL;
			o->log_level = *optarg - '0';
			break;
		case 'h':
			exit(usage(stdout, 0));
		default:
			return -EINVAL;
		}
	}
	return optind == argc && o->instance && ipc_name_check(o->instance) == 0 ? 0 : -EINVAL;
}

static int make_run_dir(struct dp_core *core, const struct options *o)
{
	int n = o->run_dir ? snprintf(core->run_dir, sizeof(core->run_dir), "%s", o->run_dir)
	                   : snprintf(core->run_dir, sizeof(core->run_dir), "/run/sallyport/%s",
	                              o->instance);

	if ((size_t)n >= sizeof(core->run_dir))
		return -ENAMETOOLONG;
	if (!o->run_dir && mkdir("/run/sallyport", 0755) < 0 && errno != EEXIST)
		return -errno;
	if (mkdir(core->run_dir, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	/* Root's alone to write: both processes make their files here as root, and whoever took
	 * over the control plane must not put links in their places. The umask does not count. */
	return chmod(core->run_dir, 0755) < 0 ? -errno : 0;
}

/* What the compiler was told that it may use (meson.build), and SIGILL would not explain. */
static bool has_processor(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
	       __builtin_cpu_supports("fma");
}

int main(int argc, char **argv)
{
	struct options o = { .user = "sallyport", .log_level = SP_LOG_INFO };
	struct sigaction action = { .sa_handler = on_signal };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct passwd *user;
	struct dp_core *core;
	int rc;

	if (parse_options(argc, argv, &o))
		return usage(stderr, 2);
	if (!has_processor()) {
		fprintf(stderr,
		        "sallyport-dataplane: this CPU is too old: it must have AVX2 and BMI2 (x86-64-v3)\n");
		return 1;
	}
	sp_log_init("sallyport-dataplane", (enum sp_log_level)o.log_level);
	rc = sp_secret_process_init();
	if (rc)
		sp_log(SP_LOG_WARN, "main: core dumps cannot be forbidden reason=\"%s\"",
		       strerror(-rc));
	user = getpwnam(o.user);
	if (!user)
		sp_log(SP_LOG_WARN, "main: there is no user \"%s\": only root may connect", o.user);
	core = calloc(1, sizeof(*core));
	if (!core)
		return 1;
	snprintf(core->instance, sizeof(core->instance), "%s", o.instance);
	while (getrandom(&core->epoch, sizeof(core->epoch), 0) != sizeof(core->epoch) ||
	       core->epoch == 0)
		;
	rc = make_run_dir(core, &o);
	if (rc) {
		sp_log(SP_LOG_ERR, "main: cannot use the run directory path=%s reason=\"%s\"",
		       core->run_dir, strerror(-rc));
		free(core);
		return 1;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	rc = dp_ctl_run(core, user ? user->pw_uid : (uid_t)-1, user ? user->pw_gid : (gid_t)-1,
	                &stop);
	sp_log(SP_LOG_INFO, "main: stopping");
	dp_core_stop(core);
	free(core);
	return rc ? 1 : 0;
}
