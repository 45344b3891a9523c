/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines: formatted into a buffer on the stack, made printable, written with one call.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static const struct {
	const char *text;
	int syslog_priority;
} levels[] = {
	[SP_LOG_ERR] = { "ERR", 3 },
	[SP_LOG_WARN] = { "WARN", 4 },
	[SP_LOG_INFO] = { "INFO", 6 },
	[SP_LOG_DEBUG] = { "DEBUG", 7 },
};

/* Set once by sp_log_init(), before there are threads. */
static char program_name[32] = "sallyport";
static enum sp_log_level highest_level = SP_LOG_INFO;
static bool is_journal;

/* journald names its stream in the environment; then it takes the priority from a "<N>" prefix. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void sp_log_init(const char *program, enum sp_log_level level)
{
	snprintf(program_name, sizeof(program_name), "%s", program);
	highest_level = level;
	is_journal = stderr_is_journal();
}

/* Copies TEXT so that the line stays one printable line: what is not printable ASCII becomes \xNN.
 */
static size_t append_escaped(char *line, size_t used, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (used + 4 >= size)
			break;
		if (c >= 0x20 && c < 0x7f) {
			line[used++] = (char)c;
			continue;
		}
		line[used++] = '\\';
		line[used++] = 'x';
		line[used++] = hex[c >> 4];
		line[used++] = hex[c & 15];
	}
	return used;
}

void sp_log(enum sp_log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES / 2], line[LINE_MAX_BYTES];
	int saved_errno = errno;
	struct timespec now;
	struct tm utc;
	va_list args;
	size_t used = 0;

	if (level > highest_level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	if (is_journal)
		used = (size_t)snprintf(line, sizeof(line), "<%d>", levels[level].syslog_priority);
	used += strftime(line + used, sizeof(line) - used, "%Y-%m-%dT%H:%M:%S", &utc);
	used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ldZ %s %s ",
	                         now.tv_nsec / 1000000, program_name, levels[level].text);
	used = append_escaped(line, used, sizeof(line) - 1, text);
	line[used++] = '\n';
	/* There is nowhere to report a failing standard error to. */
	if (write(STDERR_FILENO, line, used) < 0)
		errno = saved_errno;
	errno = saved_errno;
}
