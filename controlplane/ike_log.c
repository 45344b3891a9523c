/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcharon's own log lines among ours: as many a second as a reader can bear, never with keys.
 */
#include "controlplane/ike_log.h"

#include <daemon.h>
#include <bus/listeners/logger.h>

#include <pthread.h>

#include "common/log.h"

#define LINES_A_SECOND 100u /* at the levels 0 and 1, which peers can make it write */
#define HIGHEST_LEVEL 3     /* 4 prints keys */

typedef struct private_logger_t private_logger_t;

struct private_logger_t {
	logger_t public;
	level_t level;
	pthread_mutex_t lock;
	time_t second;
	u_int lines;
	u_int suppressed;
};

/* Whether there is room for a line in this second; *MISSED: lines that earlier seconds had no room
 * for. */
static bool take_room(private_logger_t *this, u_int *missed)
{
	const time_t now = time_monotonic(NULL);
	bool has_room;

	*missed = 0;
	pthread_mutex_lock(&this->lock);
	if (now != this->second) {
		this->second = now;
		this->lines = 0;
		*missed = this->suppressed;
		this->suppressed = 0;
	}
	has_room = this->lines < LINES_A_SECOND;
	if (has_room)
		this->lines++;
	else
		this->suppressed++;
	pthread_mutex_unlock(&this->lock);
	return has_room;
}

METHOD(logger_t, log_line, void, private_logger_t *this, debug_t group, level_t level, int thread,
       ike_sa_t *ike_sa, const char *message)
{
	char prefix[96] = "";
	u_int missed = 0;

	if (level <= 1 && !take_room(this, &missed))
		return;
	if (missed)
		sp_log(SP_LOG_WARN, "charon: suppressed lines=%u", missed);
	if (ike_sa && ike_sa->get_peer_cfg(ike_sa))
		snprintf(prefix, sizeof(prefix), " %s[%u]", ike_sa->get_name(ike_sa),
		         ike_sa->get_unique_id(ike_sa));
	sp_log(level <= 1 ? SP_LOG_INFO : SP_LOG_DEBUG, "charon:%s %s", prefix, message);
}

METHOD(logger_t, get_level, level_t, private_logger_t *this, debug_t group)
{
	return this->level;
}

void cp_ike_log_attach(int level)
{
	private_logger_t *this;

	INIT(this,
		.public = {
			.log = _log_line,
			.get_level = _get_level,
		},
		.level = level < HIGHEST_LEVEL ? level : HIGHEST_LEVEL,
	);
	pthread_mutex_init(&this->lock, NULL);
	charon->bus->add_logger(charon->bus, &this->public);
}
