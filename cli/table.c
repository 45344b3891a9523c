/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cells are kept until the end, because the widest one sets its column's width.
 */
#include "cli/table.h"

#include "cli/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#define GAP 2 /* spaces between columns */

struct cli_table {
	const struct cli_column *columns;
	size_t column_count;
	char **cells;
	size_t cell_count;
	size_t capacity;
	bool is_incomplete; /* memory ran out */
};

struct cli_table *cli_table_create(const struct cli_column *columns, size_t column_count)
{
	struct cli_table *table = calloc(1, sizeof(*table));

	if (table) {
		table->columns = columns;
		table->column_count = column_count;
	}
	return table;
}

void cli_table_destroy(struct cli_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

static bool make_room(struct cli_table *table)
{
	size_t capacity = table->capacity ? table->capacity * 2 : 64;
	char **cells;

	if (table->cell_count < table->capacity)
		return true;
	cells = reallocarray(table->cells, capacity, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->capacity = capacity;
	return true;
}

static char *clean_copy(const char *text)
{
	size_t length = cli_text_clean(NULL, 0, text);
	char *copy = malloc(length + 1);

	if (copy)
		cli_text_clean(copy, length + 1, text);
	return copy;
}

void cli_table_cell(struct cli_table *table, const char *format, ...)
{
	char *text = NULL, *cell = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length >= 0) {
		cell = clean_copy(length ? text : "-");
		free(text);
	}
	if (cell && make_room(table)) {
		table->cells[table->cell_count++] = cell;
	} else {
		free(cell);
		table->is_incomplete = true;
	}
}

static size_t column_width(const struct cli_table *table, size_t column)
{
	size_t widest = cli_text_width(table->columns[column].heading);

	for (size_t i = column; i < table->cell_count; i += table->column_count) {
		size_t width = cli_text_width(table->cells[i]);

		if (width > widest)
			widest = width;
	}
	return widest;
}

static void print_cell(const struct cli_table *table, size_t column, size_t width, const char *text,
                       FILE *to)
{
	int fill = (int)(width - cli_text_width(text));
	bool is_last = column + 1 == table->column_count;

	if (table->columns[column].align == CLI_RIGHT)
		fprintf(to, "%*s%s", fill, "", text);
	else
		fprintf(to, "%s%*s", text, is_last ? 0 : fill, "");
	fprintf(to, "%*s", is_last ? 0 : GAP, "");
	if (is_last)
		fputc('\n', to);
}

int cli_table_print(const struct cli_table *table, FILE *to)
{
	size_t full = table->cell_count - table->cell_count % table->column_count;
	size_t *widths;

	widths = calloc(table->column_count, sizeof(*widths));
	if (!widths || table->is_incomplete) {
		free(widths);
		return -ENOMEM;
	}
	for (size_t i = 0; i < table->column_count; i++)
		widths[i] = column_width(table, i);
	for (size_t i = 0; i < table->column_count; i++)
		print_cell(table, i, widths[i], table->columns[i].heading, to);
	for (size_t i = 0; i < full; i++)
		print_cell(table, i % table->column_count, widths[i % table->column_count],
		           table->cells[i], to);
	free(widths);
	return 0;
}
