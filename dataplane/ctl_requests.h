/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each request of the contract does: from the checked message to the workers and back to a
 * reply.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/commit.h"
#include "dataplane/core.h"

struct dp_requests {
	struct dp_core *core;
	struct dp_staging *staging;
	uint64_t control_epoch;               /* of the control plane that is connected */
	uint64_t changed;                     /* IPC_CHANGED_* to be told in the next event */
	struct dp_egress_count *egress_count; /* NULL: nothing is counted */
	struct dp_exception_port *exception;  /* flows are registered there */
};

struct dp_reply {
	int32_t status;
	size_t length;  /* bytes of body */
	int descriptor; /* goes with it, then is closed; -1: none */
	uint8_t body[IPC_MSG_MAX - sizeof(struct ipc_header)] __attribute__((aligned(8)));
};

/* Executes one request that ipc_decode() accepted and fills the reply. HELLO and datagrams are not
 * requests of this kind. */
void dp_request(struct dp_requests *r, const struct ipc_header *header, const void *body,
                struct dp_reply *reply);
