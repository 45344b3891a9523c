/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration in force and the one before it, on a real disk.
 */
#include "tests/unit/common/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/config_store.h"

#define GATEWAY(name)                                                                     \
	"gateway: { name = \"" name "\"; uplink: { device = \"af_packet:up\"; address = " \
	"\"203.0.113.10/24\"; }; cluster: { device = \"af_packet:in\"; address = "        \
	"\"10.0.0.2/16\"; }; };"
#define ENVIRONMENT(name, address)                                                                   \
	"environment: { name = \"" name "\"; pod_address = \"" address                               \
	"\"; sources = [\"10.0.1.0/24\"]; servers = ({ name = \"a\"; address = \"198.51.100.101\"; " \
	"auth = \"psk\"; account = \"" name "\"; secret_file = \"/dev/null\"; }); };"

static char run_dir[] = "/tmp/test_store.XXXXXX";
static struct cp_store store;

static int setup(void **state)
{
	(void)state;
	strcpy(run_dir + strlen(run_dir) - 6, "XXXXXX");
	return mkdtemp(run_dir) ? cp_store_init(&store, run_dir, (uid_t)-1, (gid_t)-1) : -1;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", run_dir);
	return system(command);
}

static struct cp_config *parse(const char *gateway, size_t count)
{
	static const char *const environments[] = { ENVIRONMENT("production", "10.0.0.33"),
		                                    ENVIRONMENT("staging", "10.0.0.34") };
	struct cp_mistakes mistakes;
	struct cp_config *config;

	assert_int_equal(cp_config_parse(gateway, environments, count, &config, &mistakes), 0);
	cp_mistakes_fini(&mistakes);
	return config;
}

static void apply(const char *gateway, size_t count)
{
	struct cp_config *config = parse(gateway, count);

	assert_int_equal(cp_store_apply(&store, config), 0);
	cp_config_release(config);
}

/* The name of the gateway in DIRECTORY, and the number of its environments' files. */
static void require_stored(const char *directory, const char *gateway, size_t environments)
{
	char path[CP_PATH_LEN + 64], text[512] = "";
	size_t count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/gateway.conf", directory);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_string_equal(text, gateway);
	for (size_t i = 1; i <= 3; i++) {
		snprintf(path, sizeof(path), "%s/environments.d/environment-%zu.conf", directory,
		         i);
		count += access(path, F_OK) == 0;
	}
	assert_int_equal(count, environments);
}

static void test_first_has_no_previous(void **state)
{
	(void)state;
	apply(GATEWAY("a"), 1);
	assert_false(cp_store_has_previous(&store));
	require_stored(store.applied, GATEWAY("a"), 1);
}

static void test_what_was_applied_becomes_the_previous_one(void **state)
{
	struct stat st;

	(void)state;
	apply(GATEWAY("a"), 2);
	apply(GATEWAY("b"), 1);
	assert_true(cp_store_has_previous(&store));
	require_stored(store.applied, GATEWAY("b"), 1);
	require_stored(store.previous, GATEWAY("a"), 2);
	apply(GATEWAY("c"), 2);
	require_stored(store.applied, GATEWAY("c"), 2);
	require_stored(store.previous, GATEWAY("b"), 1);
	assert_int_equal(stat(store.applied, &st), 0);
	assert_int_equal(st.st_mode & 07, 0);
}

/* A restart of the control plane with the same files must not forget what was before. */
static void test_the_same_again_changes_nothing(void **state)
{
	(void)state;
	apply(GATEWAY("a"), 1);
	apply(GATEWAY("b"), 1);
	apply(GATEWAY("b"), 1);
	require_stored(store.previous, GATEWAY("a"), 1);
	apply(GATEWAY("b"), 2); /* one more file is another configuration */
	require_stored(store.previous, GATEWAY("b"), 1);
	apply(GATEWAY("b"), 1); /* and so is one less */
	require_stored(store.previous, GATEWAY("b"), 2);
}

static void test_draining_is_remembered(void **state)
{
	struct cp_config *config = parse(GATEWAY("a"), 2), *later = parse(GATEWAY("a"), 2);

	(void)state;
	assert_int_equal(cp_store_get_draining(&store, later), 0); /* there is no file */
	config->environments[1].is_draining = true;
	assert_int_equal(cp_store_set_draining(&store, config), 0);
	assert_int_equal(cp_store_get_draining(&store, later), 0);
	assert_false(later->environments[0].is_draining);
	assert_true(later->environments[1].is_draining);
	cp_config_release(config);
	cp_config_release(later);
	config = parse(GATEWAY("a"), 1); /* without the one that was draining */
	assert_int_equal(cp_store_get_draining(&store, config), 0);
	assert_false(config->environments[0].is_draining);
	cp_config_release(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_has_no_previous, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_applied_becomes_the_previous_one,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_same_again_changes_nothing, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_draining_is_remembered, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
