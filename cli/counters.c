/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport counters`: read from the dataplane's shared memory, whoever else runs.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/presence.h"
#include "cli/table.h"
#include "common/stats_layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_wanted(const struct cli_options *options, const struct sp_stats *stats, uint32_t i)
{
	const char *prefix = options->argument ? options->argument : "";

	if (strncmp(sp_stats_name(stats, i), prefix, strlen(prefix)))
		return false;
	return (options->given & CLI_TAKES_ALL) || sp_stats_value(stats, i);
}

/* ---- JSON ---- */

static json_t *counter_json(const struct cli_options *options, const struct sp_stats *stats,
                            uint32_t i)
{
	json_t *workers;

	if (!(options->given & CLI_TAKES_WORKERS))
		return json_integer((json_int_t)sp_stats_value(stats, i));
	workers = json_array();
	for (uint32_t w = 0; w < sp_stats_workers(stats); w++)
		json_array_append_new(workers,
		                      json_integer((json_int_t)sp_stats_worker_value(stats, i, w)));
	return json_pack("{s:I, s:o}", "value", (json_int_t)sp_stats_value(stats, i), "workers",
	                 workers);
}

static enum cli_exit print_json(const struct cli_options *options, const struct sp_stats *stats,
                                bool is_running)
{
	json_t *counters = json_object();

	for (uint32_t i = 0; i < sp_stats_count(stats); i++)
		if (is_wanted(options, stats, i) &&
		    json_object_set_new(counters, sp_stats_name(stats, i),
		                        counter_json(options, stats, i))) {
			json_decref(counters);
			return cli_fail(CLI_DEGRADED, "out of memory, or a name that is not text");
		}
	return cli_print_json(json_pack("{s:o, s:I, s:b, s:o}", "epoch",
	                                json_sprintf("%016" PRIx64, sp_stats_epoch(stats)),
	                                "workers", (json_int_t)sp_stats_workers(stats), "running",
	                                is_running, "counters", counters));
}

/* ---- table ---- */

/* A column for the name, one for the sum and, if asked for, one for each worker. HEADINGS holds
 * their texts. */
static struct cli_column *make_columns(uint32_t workers, char (*headings)[20])
{
	struct cli_column *columns = calloc(workers + 2, sizeof(*columns));

	if (!columns)
		return NULL;
	columns[0] = (struct cli_column){ "COUNTER", CLI_LEFT };
	columns[1] = (struct cli_column){ "VALUE", CLI_RIGHT };
	for (uint32_t w = 0; w < workers; w++) {
		snprintf(headings[w], sizeof(headings[w]), "WORKER %" PRIu32, w);
		columns[w + 2] = (struct cli_column){ headings[w], CLI_RIGHT };
	}
	return columns;
}

static int fill_table(const struct cli_options *options, const struct sp_stats *stats,
                      struct cli_table *table, uint32_t workers)
{
	int rows = 0;

	for (uint32_t i = 0; i < sp_stats_count(stats); i++) {
		if (!is_wanted(options, stats, i))
			continue;
		rows++;
		cli_table_cell(table, "%s", sp_stats_name(stats, i));
		cli_table_cell(table, "%" PRIu64, sp_stats_value(stats, i));
		for (uint32_t w = 0; w < workers; w++)
			cli_table_cell(table, "%" PRIu64, sp_stats_worker_value(stats, i, w));
	}
	return rows;
}

static enum cli_exit print_table(const struct cli_options *options, const struct sp_stats *stats)
{
	uint32_t workers = options->given & CLI_TAKES_WORKERS ? sp_stats_workers(stats) : 0;
	char(*headings)[20] = calloc(workers + 1, sizeof(*headings));
	struct cli_column *columns = headings ? make_columns(workers, headings) : NULL;
	struct cli_table *table = columns ? cli_table_create(columns, workers + 2) : NULL;
	int rc = table ? 0 : -ENOMEM;

	if (table && !fill_table(options, stats, table, workers))
		cli_say("no such counters, or all of them are zero (--all shows these too)");
	else if (table)
		rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	free(columns);
	free(headings);
	return rc ? cli_fail(CLI_DEGRADED, "out of memory") : CLI_OK;
}

enum cli_exit cli_counters(const struct cli_options *options)
{
	char path[CLI_PATH_LEN + sizeof("/stats")];
	struct sp_stats *stats;
	enum cli_exit exit;
	bool is_running;
	int rc;

	snprintf(path, sizeof(path), "%s/stats", options->run_dir);
	rc = sp_stats_open(path, &stats);
	if (rc == -ENOENT)
		return cli_fail(CLI_NO_DATAPLANE,
		                "no counters at %s: the dataplane was not started", path);
	if (rc)
		return cli_fail(rc == -ENOMEM ? CLI_DEGRADED : CLI_NO_DATAPLANE,
		                "cannot read %s: %s", path,
		                rc == -EINVAL ? "it is not a segment of counters of this version"
		                              : strerror(-rc));
	is_running = cli_dataplane_presence(options) != CLI_ABSENT;
	exit = options->is_json ? print_json(options, stats, is_running)
	                        : print_table(options, stats);
	sp_stats_close(stats);
	if (exit == CLI_OK && !is_running)
		return cli_fail(CLI_NO_DATAPLANE,
		                "the dataplane does not run: these are its last values");
	return exit;
}
