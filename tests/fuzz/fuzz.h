/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every fuzz target defines. libFuzzer calls it, or replay.c does.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Takes one input; returns 0. A finding is a crash or a sanitizer's report. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
