/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plain tables with aligned columns. Every cell is cleaned on its way in (cli/text.h).
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

enum cli_align { CLI_LEFT, CLI_RIGHT };

struct cli_column {
	const char *heading;
	enum cli_align align;
};

struct cli_table;

/* COLUMNS is borrowed. NULL: no memory. */
struct cli_table *cli_table_create(const struct cli_column *columns, size_t column_count);
void cli_table_destroy(struct cli_table *table);

/* Appends a cell; a row is full after as many cells as there are columns. An empty text is shown as
 * "-". Running out of memory is remembered and told by cli_table_print(). */
void cli_table_cell(struct cli_table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Prints the headings and the full rows. Returns 0 or -ENOMEM (nothing was printed). */
int cli_table_print(const struct cli_table *table, FILE *to);
