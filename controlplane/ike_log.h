/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcharon's own log lines among ours: as many a second as a reader can bear, never with keys.
 */
#pragma once

/* LEVEL: -1 (none) to 3; more would print keys and is taken as 3. After libcharon's initialisation.
 */
void cp_ike_log_attach(int level);
