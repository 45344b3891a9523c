/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sallyport-controlplane: configuration, IKE, supervision and the operators' API of one instance.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ipc_codec.h"
#include "common/log.h"
#include "common/secret.h"
#include "controlplane/api.h"
#include "controlplane/config.h"
#include "controlplane/config_store.h"
#include "controlplane/dp_client.h"
#include "controlplane/health_http.h"
#include "controlplane/reload.h"
#include "controlplane/successor.h"
#include "controlplane/supervisor.h"
#include "controlplane/takeover.h"

#define EXIT_CONFIG 2 /* wrong options or configuration */

struct options {
	const char *instance;
	char config_dir[CP_PATH_LEN];
	char run_dir[80]; /* a socket's path must fit into 108 bytes */
	enum sp_log_level log_level;
	bool is_successor; /* started by a running control plane, to take over from it */
};

#define ARGUMENTS_MAX 11 /* of a successor, NULL included */

struct program {
	struct options options;
	struct cp_config *config;
	uint64_t epoch;
	struct cp_dp *dp;
	struct cp_supervisor *supervisor;
	struct cp_store store;
	struct cp_reload *reload;
	struct cp_health *health;
	struct cp_api *api;
	char path[CP_PATH_LEN]; /* of this program, or of what was installed in its place since */
	char log_level[2];
	char *arguments[ARGUMENTS_MAX]; /* of a successor */
	struct cp_takeover *takeover;
};

static void print_usage(FILE *to)
{
	fputs("usage: sallyport-controlplane --instance NAME [--config-dir DIR] [--run-dir DIR] [--log-level 0..3]\n"
	      "  --config-dir DIR  default /etc/sallyport/NAME\n"
	      "  --run-dir DIR     default /run/sallyport/NAME\n"
	      "  --log-level N     0 errors, 1 warnings, 2 state changes (default), 3 debug\n",
	      to);
}

static int set_path(char *to, size_t size, const char *option, const char *instance,
                    const char *base)
{
	int length = option ? snprintf(to, size, "%s", option)
	                    : snprintf(to, size, "%s/%s", base, instance);

	return length > 0 && (size_t)length < size ? 0 : -ENAMETOOLONG;
}

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "instance", required_argument, NULL, 'i' },
		{ "config-dir", required_argument, NULL, 'c' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "successor", no_argument, NULL, 's' }, /* ours alone: see takeover.h */
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *config_dir = NULL, *run_dir = NULL;
	int option;

	options->log_level = SP_LOG_INFO;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'i':
			options->instance = optarg;
			break;
		case 'c':
			config_dir = optarg;
			break;
		case 'r':
			run_dir = optarg;
			break;
		case 'l':
			if (strlen(optarg) != 1 || optarg[0] < '0' || optarg[0] > '3')
				return -EINVAL;
			options->log_level = (enum sp_log_level)(optarg[0] - '0');
			break;
		case 's':
			options->is_successor = true;
			break;
		case 'h':
			print_usage(stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	if (optind != argc || !options->instance || ipc_name_check(options->instance) != 0)
		return -EINVAL;
	if (set_path(options->config_dir, sizeof(options->config_dir), config_dir,
	             options->instance, "/etc/sallyport") != 0 ||
	    set_path(options->run_dir, sizeof(options->run_dir), run_dir, options->instance,
	             "/run/sallyport") != 0) {
		fputs("sallyport-controlplane: a directory's path is too long\n", stderr);
		return -ENAMETOOLONG;
	}
	return 0;
}

static int load_config(struct program *program)
{
	struct cp_mistakes mistakes = { 0 };
	int rc = cp_config_load(program->options.config_dir, &program->config, &mistakes);

	cp_mistakes_print(&mistakes, stderr);
	if (rc != 0)
		sp_log(SP_LOG_ERR,
		       "main: the configuration in %s cannot be used mistakes=%zu error=%s",
		       program->options.config_dir, mistakes.count, strerror(-rc));
	cp_mistakes_fini(&mistakes);
	return rc;
}

/* RUN_DIR and the directory above it. */
static int make_run_dir(const char *path)
{
	char above[sizeof(((struct options *)0)->run_dir)];
	char *slash;

	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	if (slash && slash != above) {
		*slash = 0;
		if (mkdir(above, 0755) != 0 && errno != EEXIST)
			goto err;
	}
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
err:
	sp_log(SP_LOG_ERR, "main: %s cannot be made error=%s", path, strerror(errno));
	return -errno;
}

/* The user to run as; with *IS_CHANGE false the process stays what it is. */
static int find_user(const struct cp_config *config, struct passwd **user, bool *is_change)
{
	*is_change = geteuid() == 0;
	if (!*is_change)
		return 0;
	errno = 0;
	*user = getpwnam(config->user);
	if (*user)
		return 0;
	sp_log(SP_LOG_ERR,
	       "main: the user \"%s\" to run as does not exist: make it (useradd --system %s) or name another one "
	       "in controlplane.user",
	       config->user, config->user);
	return -ENOENT;
}

/* Becomes USER for good: no capability is kept and none can be had again. */
static int become(const struct passwd *user)
{
	if (initgroups(user->pw_name, user->pw_gid) != 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0) {
		sp_log(SP_LOG_ERR, "main: cannot become user %s error=%s", user->pw_name,
		       strerror(errno));
		return -errno;
	}
	sp_log(SP_LOG_INFO, "main: running as user=%s", user->pw_name);
	return 0;
}

/* Secrets are read at each authentication, so it must be this user who can read them. */
static void warn_of_secrets(const struct cp_config *config, const char *user)
{
	for (size_t e = 0; e < config->environment_count; e++) {
		const struct cp_environment *environment = &config->environments[e];

		for (size_t s = 0; s < environment->server_count; s++) {
			const struct cp_server *server = &environment->servers[s];
			int rc = sp_secret_check_file(server->secret_file);

			if (rc != 0)
				sp_log(SP_LOG_ERR,
				       "main: user %s cannot use the secret in %s: make it mode 0440 root:%s or 0400 %s "
				       "environment=%s server=%s error=%s",
				       user, server->secret_file, user, user, environment->name,
				       server->name, strerror(-rc));
		}
	}
}

/* What a successor is to be started with: read now, while it is certain. */
static void describe_successor(struct program *program)
{
	static const char deleted[] = " (deleted)"; /* what a replaced file is called */
	struct options *options = &program->options;
	char *const arguments[] = { program->path,
		                    "--instance",
		                    (char *)options->instance,
		                    "--config-dir",
		                    options->config_dir,
		                    "--run-dir",
		                    options->run_dir,
		                    "--log-level",
		                    program->log_level,
		                    "--successor",
		                    NULL };
	ssize_t length = readlink("/proc/self/exe", program->path, sizeof(program->path) - 1);
	char *end;

	_Static_assert(sizeof(arguments) == sizeof(program->arguments), "arguments");
	if (length < 0 || (size_t)length == sizeof(program->path) - 1) {
		sp_log(SP_LOG_WARN,
		       "main: /proc/self/exe does not tell where this program is: it cannot be upgraded");
		length = 0;
	}
	program->path[length] = 0;
	end = program->path + length - (sizeof(deleted) - 1);
	if (end > program->path && strcmp(end, deleted) == 0)
		*end = 0;
	program->log_level[0] = (char)('0' + options->log_level);
	memcpy(program->arguments, arguments, sizeof(arguments));
}

/* USER NULL: we stay who we are. */
static int open_store(struct program *program, const struct passwd *user)
{
	int rc = cp_store_init(&program->store, program->options.run_dir,
	                       user ? user->pw_uid : (uid_t)-1, user ? user->pw_gid : (gid_t)-1);

	if (rc == 0)
		rc = cp_store_get_draining(&program->store, program->config);
	if (rc != 0)
		sp_log(SP_LOG_ERR, "main: %s/configuration cannot be used error=%s",
		       program->options.run_dir, strerror(-rc));
	return rc;
}

/* It is what a rollback returns to. */
static void keep_config(const struct program *program)
{
	int rc = cp_store_apply(&program->store, program->config);

	if (rc != 0)
		sp_log(SP_LOG_WARN,
		       "main: the configuration could not be written to %s: a rollback may be impossible error=%s",
		       program->store.applied, strerror(-rc));
}

/* What both ways to start need. USER: whose the store will be; NULL: ours. */
static int create(struct program *program, const struct passwd *user)
{
	char socket_path[sizeof(program->options.run_dir) + sizeof("/dataplane.sock")];
	const struct cp_dp_options dp = {
		.socket_path = socket_path,
		.instance = program->options.instance,
		.epoch = program->epoch,
		.config = program->config,
	};
	struct cp_takeover_options takeover = { .program = program->path,
		                                .arguments = program->arguments };
	struct cp_reload_options reload = { .config_dir = program->options.config_dir,
		                            .store = &program->store,
		                            .config = program->config };
	int rc;

	snprintf(socket_path, sizeof(socket_path), "%s/dataplane.sock", program->options.run_dir);
	rc = open_store(program, user);
	if (rc == 0)
		rc = cp_dp_create(&dp, &program->dp);
	if (rc == 0)
		rc = cp_supervisor_create(program->config, program->dp, program->epoch,
		                          &program->supervisor);
	describe_successor(program);
	reload.supervisor = program->supervisor;
	if (rc == 0)
		rc = cp_reload_create(&reload, &program->reload);
	takeover.supervisor = program->supervisor;
	if (rc == 0)
		rc = cp_takeover_create(&takeover, &program->takeover);
	return rc;
}

static struct cp_api_context describe_api(const struct program *program)
{
	return (struct cp_api_context){
		.instance = program->options.instance,
		.epoch = program->epoch,
		.reload = program->reload,
		.dp = program->dp,
		.supervisor = program->supervisor,
		.takeover = program->takeover,
	};
}

static int say_no_api(const struct program *program, int rc)
{
	if (rc != 0)
		sp_log(SP_LOG_ERR, "main: the API's socket in %s cannot be made error=%s",
		       program->options.run_dir, strerror(-rc));
	return rc;
}

static int start(struct program *program)
{
	struct cp_api_context api;
	struct passwd *user = NULL;
	bool is_change;
	int rc;

	rc = find_user(program->config, &user, &is_change);
	if (rc == 0)
		rc = make_run_dir(program->options.run_dir);
	if (rc == 0)
		rc = create(program, user);
	if (rc != 0)
		return rc;
	api = describe_api(program);
	/* its socket is made while we may still give it to a group */
	rc = say_no_api(program, cp_api_start(&api, program->options.run_dir,
	                                      is_change ? user->pw_gid : (gid_t)-1, &program->api));
	if (rc == 0 && is_change) {
		rc = become(user);
		if (rc == 0)
			warn_of_secrets(program->config, user->pw_name);
	}
	if (rc == 0)
		keep_config(program);
	if (rc == 0)
		rc = sp_secret_process_init(); /* again: a change of user undoes it */
	if (rc == 0)
		rc = cp_supervisor_start(program->supervisor);
	if (rc == 0)
		rc = cp_supervisor_connect(program->supervisor);
	return rc;
}

/* As start(), beside a control plane that serves: it does so until all tunnels are ours. */
static int succeed(struct program *program)
{
	struct cp_api_context api;
	int rc = create(program, NULL);

	if (rc == 0)
		rc = cp_supervisor_start(program->supervisor);
	if (rc == 0)
		rc = cp_successor_wait();
	if (rc == 0)
		rc = cp_supervisor_connect(program->supervisor);
	if (rc == 0)
		rc = cp_successor_take_over(program->supervisor);
	if (rc != 0)
		return rc;
	keep_config(program);
	api = describe_api(program);
	return say_no_api(program, cp_api_inherit(&api, program->options.run_dir,
	                                          CP_SUCCESSOR_LISTENER, &program->api));
}

/* Without it the gateway does its work all the same. */
static void start_health(struct program *program)
{
	const struct cp_config *config = program->config;
	const struct cp_api_context api = describe_api(program);
	int rc;

	if (!config->health_be)
		return;
	rc = cp_health_start(&api, config->health_be, config->health_port_be, &program->health);
	if (rc != 0)
		sp_log(SP_LOG_ERR, "main: nobody can listen at controlplane.health error=%s",
		       strerror(-rc));
}

static void reload(struct program *program)
{
	struct cp_outcome outcome;
	int rc = cp_reload_apply(program->reload, &outcome);

	cp_outcome_log(&outcome, rc);
	cp_outcome_fini(&outcome);
}

/* Returns when the process shall end. */
static void wait_for_signals(struct program *program, const sigset_t *signals)
{
	int signal_number;

	while (sigwait(signals, &signal_number) == 0 && signal_number == SIGHUP)
		reload(program);
}

int main(int argc, char **argv)
{
	struct program program = { 0 };
	sigset_t signals;

	if (parse_options(argc, argv, &program.options) != 0) {
		print_usage(stderr);
		return EXIT_CONFIG;
	}
	sp_log_init("controlplane", program.options.log_level);
	if (program.options.is_successor && cp_successor_check() != 0) {
		sp_log(SP_LOG_ERR,
		       "main: --successor is for a running control plane: use \"sallyport upgrade\"");
		return EXIT_CONFIG;
	}
	if (sp_secret_process_init() != 0)
		return EXIT_FAILURE;
	/* before there are threads: each has its own */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return EXIT_FAILURE;
	if (load_config(&program) != 0)
		return EXIT_CONFIG;
	while (program.epoch == 0) {
		if (getrandom(&program.epoch, sizeof(program.epoch), 0) != sizeof(program.epoch))
			return EXIT_FAILURE;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* inherited by every thread */
	signal(SIGPIPE, SIG_IGN);
	if ((program.options.is_successor ? succeed(&program) : start(&program)) != 0)
		_exit(EXIT_FAILURE); /* there are threads: no orderly end */
	cp_takeover_set_api(program.takeover, program.api);
	start_health(&program);
	sp_log(SP_LOG_INFO, "main: started instance=%s epoch=%016llx", program.options.instance,
	       (unsigned long long)program.epoch);
	wait_for_signals(&program, &signals);
	/* Tunnels stay up in the dataplane: nothing is said to servers, nothing is taken from the
	 * dataplane. An orderly end of libcharon would do both, so there is none: the kernel takes
	 * the memory back. */
	cp_takeover_cancel(program.takeover);
	cp_supervisor_mute(program.supervisor);
	cp_health_stop(program.health);
	cp_api_stop(program.api);
	sp_log(SP_LOG_INFO, "main: ended");
	_exit(EXIT_SUCCESS);
}
