/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines of the control threads: "module: verb key=value ..." to standard error, as journald
 * wants them.
 */
#pragma once

enum sp_log_level {
	SP_LOG_ERR = 0,   /* someone must act */
	SP_LOG_WARN = 1,  /* degraded */
	SP_LOG_INFO = 2,  /* a state change the operator sees */
	SP_LOG_DEBUG = 3, /* off by default */
};

/* Sets the program's name in each line and the highest level printed. Call once, before threads
 * start. */
void sp_log_init(const char *program, enum sp_log_level level);

/* Prints one line with a time stamp and level; any thread, never a dataplane worker. Control
 * characters in the text are escaped. Never pass a key, a payload or a password. */
void sp_log(enum sp_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
