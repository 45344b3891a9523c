/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whom probes ask, how often and by what: the failover's questions (dataplane/probe.h sends them).
 * Worker only.
 */
#pragma once

#include <stdint.h>

#include "dataplane/generation.h"

struct dp_worker;

/*
 * A session to HOST_BE goes on through TUNNEL now: HOST_BE shall hear from us through it, or a
 * connection on which only it sends would wait until the client says something. It gets an echo
 * request a few times; nothing depends on the answer. Of many hosts the first ones are enough:
 * their network learns the way.
 */
void dp_greet_later(struct dp_worker *w, uint16_t environment, uint16_t tunnel, uint32_t host_be);

/* Sends the environment's greetings that are due, if there is room. */
void dp_greet(struct dp_worker *w, uint16_t environment);

/* The tunnel's next probe is due: sends it, if there is room, and sets when the one after is. */
void dp_ask(struct dp_worker *w, const struct dp_environment *e, uint16_t slot);

/* Nobody answers the host that is asked: from now on it is the one that the last session went to,
 * and between, in turn, the forwards' and the configured one. */
void dp_ask_another_host(struct dp_worker *w, const struct dp_environment *e);
