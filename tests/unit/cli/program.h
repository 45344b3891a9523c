/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real `sallyport` program, run against the real API of a world of the test's.
 */
#pragma once

#include "tests/unit/controlplane/api_world.h"

#include <jansson.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const char *program; /* its path; set by main() */
extern struct world world;
extern char directory[];      /* RUN_DIR and CONFIG_DIR */
extern char *output, *errors; /* of the last run */

/* Set-ups and tear-down of a test: without a control plane, and with one. */
int start(void **state);
int start_with_api(void **state);
int stop(void **state);

/* Runs the program with the words of LINE, which has to end with STATUS. */
void expect_exit(const char *line, int status);

void expect_in(const char *text, const char *part);
void expect_not_in(const char *text, const char *part);

/* What the last run printed, to be released. */
json_t *json_output(void);

/* A file below `directory`. */
void path_of(char path[256], const char *name);
void write_file(const char *name, const void *bytes, size_t length);

/* Somebody listens where the dataplane would; returns the socket. */
int listen_as_dataplane(void);
