/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and answers of the verdicts. */
#include "dataplane/verdict.h"

const char *dp_verdict_name(enum dp_verdict verdict)
{
	static const char *const names[DP_VERDICT_COUNT] = {
#define X(id, name, answer, text) [DP_##id] = name,
		DP_VERDICTS(X)
#undef X
	};

	return names[verdict];
}

enum dp_answer dp_verdict_answer(enum dp_verdict verdict)
{
	static const enum dp_answer answers[DP_VERDICT_COUNT] = {
#define X(id, name, answer, text) [DP_##id] = DP_ANSWER_##answer,
		DP_VERDICTS(X)
#undef X
	};

	return answers[verdict];
}
