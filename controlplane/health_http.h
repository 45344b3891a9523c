/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The health answer by HTTP, for load balancers and controllers of routes: GET /health and GET
 * /health/ENVIRONMENT on the node's management interface (docs/ha.md). Off unless configured.
 */
#pragma once

#include <stdint.h>

#include "controlplane/api.h"

struct cp_health;

/* Listens at ADDRESS_BE:PORT_BE, on a thread of its own; CONTEXT is copied. Two processes may
 * listen there at a time, while one takes over from the other. Returns 0 or -errno. */
int cp_health_start(const struct cp_api_context *context, uint32_t address_be, uint16_t port_be,
                    struct cp_health **health);

/* Ends it; NULL is allowed. */
void cp_health_stop(struct cp_health *health);
