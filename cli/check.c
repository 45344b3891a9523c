/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport check`: the configuration as the control plane would read it, without any process.
 */
#include "cli/as_user.h"
#include "cli/command.h"
#include "cli/text.h"
#include "controlplane/config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct totals {
	size_t servers;
	size_t forwards;
};

static struct totals count(const struct cp_config *config)
{
	struct totals totals = { 0 };

	for (size_t i = 0; i < config->environment_count; i++) {
		totals.servers += config->environments[i].server_count;
		totals.forwards += config->environments[i].forward_count;
	}
	return totals;
}

/* "1 server", "2 servers" */
static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static enum cli_exit report_valid(const struct cli_options *options, const struct cp_config *config)
{
	struct totals totals = count(config);

	if (options->is_json)
		return cli_print_json(json_pack("{s:b, s:[], s:s, s:I, s:I, s:I}", "ok", 1,
		                                "mistakes", "gateway", config->name, "environments",
		                                (json_int_t)config->environment_count, "servers",
		                                (json_int_t)totals.servers, "forwards",
		                                (json_int_t)totals.forwards));
	cli_say("the configuration in %s is good: gateway %s, %zu environment%s, %zu server%s, "
	        "%zu forward%s",
	        options->config_dir, config->name, config->environment_count,
	        plural(config->environment_count), totals.servers, plural(totals.servers),
	        totals.forwards, plural(totals.forwards));
	return CLI_OK;
}

/* Text from a file may be anything; JSON takes UTF-8 alone. */
static json_t *text(const char *bytes)
{
	char clean[CP_PATH_LEN * 2 * 4];
	json_t *value = json_string(bytes);

	if (value)
		return value;
	cli_text_clean(clean, sizeof(clean), bytes);
	return json_string(clean);
}

static json_t *describe_mistake(const struct cp_mistake *mistake)
{
	return json_pack("{s:o, s:i, s:o, s:o}", "file", text(mistake->file), "line",
	                 (int)mistake->line, "key", text(mistake->key), "text",
	                 text(mistake->text));
}

static enum cli_exit print_mistakes_json(const struct cp_mistakes *mistakes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < mistakes->count; i++) {
		if (json_array_append_new(list, describe_mistake(&mistakes->list[i]))) {
			json_decref(list);
			return cli_fail(CLI_DEGRADED, "out of memory");
		}
	}
	return cli_print_json(json_pack("{s:b, s:o}", "ok", 0, "mistakes", list));
}

static void say_mistake(const struct cp_mistake *mistake)
{
	const char *separator = mistake->key[0] ? ": " : "";

	if (mistake->line)
		cli_say("%s:%u: %s%s%s", mistake->file, mistake->line, mistake->key, separator,
		        mistake->text);
	else
		cli_say("%s: %s%s%s", mistake->file, mistake->key, separator, mistake->text);
}

static enum cli_exit report_mistakes(const struct cli_options *options,
                                     const struct cp_mistakes *mistakes)
{
	if (options->is_json)
		return print_mistakes_json(mistakes) == CLI_OK ? CLI_MISTAKE : CLI_DEGRADED;
	for (size_t i = 0; i < mistakes->count; i++)
		say_mistake(&mistakes->list[i]);
	return cli_fail(CLI_MISTAKE, "%zu mistake%s in %s", mistakes->count,
	                plural(mistakes->count), options->config_dir);
}

/* What we can read, the control plane's user may not be allowed to. Nobody but root can find out.
 */
static enum cli_exit check_as_user(const struct cli_options *options,
                                   const struct cp_config *config, struct cp_mistakes *mistakes)
{
	int rc = geteuid() == 0 ? cli_check_as_user(options->config_dir, config, mistakes) : 0;

	if (rc == -ENOENT)
		return cli_fail(CLI_MISTAKE, "there is no user \"%s\" (controlplane.user)",
		                config->user);
	if (rc)
		return cli_fail(CLI_DEGRADED, "cannot check as user %s: %s", config->user,
		                strerror(-rc));
	return mistakes->count ? report_mistakes(options, mistakes) : report_valid(options, config);
}

enum cli_exit cli_check(const struct cli_options *options)
{
	struct cp_mistakes mistakes = { 0 };
	struct cp_config *config = NULL;
	enum cli_exit exit;
	int rc = cp_config_load(options->config_dir, &config, &mistakes);

	if (rc == -EINVAL)
		exit = report_mistakes(options, &mistakes);
	else if (rc)
		exit = cli_fail(CLI_DEGRADED, "cannot read the configuration: %s", strerror(-rc));
	else
		exit = check_as_user(options, config, &mistakes);
	cp_mistakes_fini(&mistakes);
	if (config)
		cp_config_release(config);
	return exit;
}
