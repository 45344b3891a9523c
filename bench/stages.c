/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A wrapper for each function that path.c calls for a burst, and for those of the loop. */
#include "bench/stages.h"

#include <stdio.h>
#include <string.h>

#include <x86intrin.h>

#include "dataplane/batch.h"
#include "dataplane/fragment.h"
#include "dataplane/parse.h"

/* void f(worker, batch) */
#define STAGES(X)                   \
	X(dp_handoff_forward)       \
	X(dp_handoff_esp)           \
	X(dp_handoff_egress_out)    \
	X(dp_handoff_egress_in)     \
	X(dp_reassemble_cluster)    \
	X(dp_reassemble_inner)      \
	X(dp_reassemble_egress_out) \
	X(dp_reassemble_egress_in)  \
	X(dp_nat_forward_out)       \
	X(dp_nat_forward_in)        \
	X(dp_nat_egress_out)        \
	X(dp_nat_egress_in)         \
	X(dp_nat_icmp_out)          \
	X(dp_nat_icmp_in)           \
	X(dp_rate_out)              \
	X(dp_rate_in)               \
	X(dp_rate_egress_out)       \
	X(dp_rate_egress_in)        \
	X(dp_esp_out_encapsulate)   \
	X(dp_esp_out_encrypt)       \
	X(dp_esp_in_lookup)         \
	X(dp_esp_in_decrypt)        \
	X(dp_probe_take_segments)   \
	X(dp_probe_take_echoes)     \
	X(dp_local)                 \
	X(dp_local_echo)            \
	X(dp_nexthop)               \
	X(dp_port_transmit)

/* the others: result, name, parameters, arguments */
#define OTHERS(X)                                                                              \
	X(dp_parse_cluster,                                                                    \
	  (struct dp_worker * w, struct rte_mbuf * *m, unsigned n, struct dp_from_cluster *s), \
	  (w, m, n, s))                                                                        \
	X(dp_parse_uplink,                                                                     \
	  (struct dp_worker * w, struct rte_mbuf * *m, unsigned n, struct dp_from_uplink *s),  \
	  (w, m, n, s))                                                                        \
	X(dp_nat_icmp_split, (struct dp_worker * w, struct dp_batch * b, struct dp_batch * e), \
	  (w, b, e))                                                                           \
	X(dp_fragment_for_tunnel,                                                              \
	  (struct dp_worker * w, struct dp_batch * b, struct dp_oversized * o), (w, b, o))     \
	X(dp_fragment_for_port,                                                                \
	  (struct dp_worker * w, struct dp_batch * b, struct dp_oversized * o), (w, b, o))     \
	X(dp_worker_tick, (struct dp_worker * w), (w))                                         \
	X(dp_failover_tick, (struct dp_worker * w), (w))

enum stage {
#define X(name, ...) STAGE_##name,
	STAGES(X) OTHERS(X) X(dp_worker_tend)
#undef X
		STAGE_COUNT
};

_Static_assert(STAGE_COUNT <= STAGES_MAX, "a sample has room for all");

static const char *const names[STAGE_COUNT] = {
#define X(name, ...) #name,
	STAGES(X) OTHERS(X) X(dp_worker_tend)
#undef X
};

static struct {
	uint32_t cycles[STAGE_COUNT];
	uint8_t order[STAGE_COUNT];
	uint8_t is_known[STAGE_COUNT];
	unsigned count;
} measured;

static void add(enum stage stage, uint64_t cycles)
{
	measured.cycles[stage] += (uint32_t)cycles;
	if (measured.is_known[stage])
		return;
	measured.is_known[stage] = 1;
	measured.order[measured.count++] = (uint8_t)stage;
}

#define WRAP(name, parameters, arguments)             \
	void __real_##name parameters;                \
	void __wrap_##name parameters;                \
	void __wrap_##name parameters                 \
	{                                             \
		uint64_t begin = __rdtsc();           \
                                                      \
		__real_##name arguments;              \
		add(STAGE_##name, __rdtsc() - begin); \
	}
#define WRAP_STAGE(name) WRAP(name, (struct dp_worker * w, struct dp_batch * b), (w, b))
STAGES(WRAP_STAGE)
OTHERS(WRAP)

unsigned __real_dp_worker_tend(struct dp_worker *w);
unsigned __wrap_dp_worker_tend(struct dp_worker *w);
unsigned __wrap_dp_worker_tend(struct dp_worker *w)
{
	uint64_t begin = __rdtsc();
	unsigned work = __real_dp_worker_tend(w);

	add(STAGE_dp_worker_tend, __rdtsc() - begin);
	return work;
}

void stages_begin(void)
{
	memset(&measured, 0, sizeof(measured));
}

void stages_take(struct stages_sample *sample)
{
	memcpy(sample->cycles, measured.cycles, sizeof(measured.cycles));
	memset(measured.cycles, 0, sizeof(measured.cycles));
}

void stages_print_names(void)
{
	printf("[");
	for (unsigned i = 0; i < measured.count; i++)
		printf("%s[\"%s\",%u]", i ? "," : "", names[measured.order[i]] + 3,
		       measured.order[i]);
	printf("]");
}
