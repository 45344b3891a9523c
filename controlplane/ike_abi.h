/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for the config.h of the strongSwan build whose libraries we link: Debian 12's 5.9.8,
 * amd64.
 *
 * Its headers are read with these macros. ME (Debian builds with mediation) changes the layout of
 * several structs and the values of several enums; HAVE_STDBOOL_H the size of bool. What is not
 * defined here (USE_VSTR, USE_BUILTIN_PRINTF, LEAK_DETECTIVE, LOCK_PROFILER, MONOLITHIC,
 * DEBUG_LEVEL) must stay so. Included by the compiler's command line, before everything else, in
 * ike_*.c only.
 */
#pragma once

#define CONFIG_H_INCLUDED
#define ME 1
#define HAVE_STDBOOL_H 1
#define HAVE_SIGWAITINFO 1
#define HAVE_EXPLICIT_BZERO 1
