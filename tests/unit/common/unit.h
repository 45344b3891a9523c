/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cmocka wants included before itself, and a directory for a test's files.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Group set-up: makes a directory of the test's own and enters it. */
static inline int unit_enter_directory(void **state)
{
	static char path[] = "/tmp/sallyport-unit-XXXXXX";

	if (!mkdtemp(path) || chdir(path) != 0)
		return -1;
	*state = path;
	return 0;
}

/* Group tear-down: the tests remove their files; what is left makes it fail. */
static inline int unit_leave_directory(void **state)
{
	return chdir("/") == 0 && rmdir(*state) == 0 ? 0 : -1;
}
