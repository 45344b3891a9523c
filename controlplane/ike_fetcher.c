/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fetcher_t before all others: lets CRLs and OCSP answers be fetched for tunnels that want them,
 * over HTTP alone, up to a size, and not again for a while from where there was no answer.
 *
 * The fetching itself is the curl plugin's: a fetch from inside of ours passes us by.
 */
#include "controlplane/ike_revocation.h"

#include <daemon.h>
#include <fetcher/fetcher.h>

#include <pthread.h>
#include <string.h>

#include "common/log.h"

#define BYTES_MAX (8u << 20) /* of a CRL */
#define FAILURES 32u         /* addresses kept in mind */
#define FAILURE_S 15         /* this long nobody waits for that address again */
#define URL_LEN 256u

typedef struct private_fetcher_t private_fetcher_t;

struct private_fetcher_t {
	fetcher_t public;
	chunk_t request;
	char *request_type;
	u_int timeout;
};

/** Where there was no answer, and when. */
struct failure {
	char url[URL_LEN];
	time_t at;
};

static struct cp_ike *ike_of_fetcher;
static __thread bool is_inside;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct failure failures[FAILURES];
static u_int next_failure;

static bool has_failed(const char *url)
{
	const time_t now = time_monotonic(NULL);
	bool has = FALSE;

	pthread_mutex_lock(&lock);
	for (u_int i = 0; i < FAILURES; i++)
		has |= failures[i].url[0] && now - failures[i].at < FAILURE_S &&
		       strncmp(failures[i].url, url, URL_LEN - 1) == 0;
	pthread_mutex_unlock(&lock);
	return has;
}

static void remember_failure(const char *url)
{
	struct failure *failure;

	pthread_mutex_lock(&lock);
	failure = &failures[next_failure++ % FAILURES];
	snprintf(failure->url, URL_LEN, "%s", url);
	failure->at = time_monotonic(NULL);
	pthread_mutex_unlock(&lock);
}

static const struct cp_ike_tunnel *current_tunnel(void)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);

	return ike_sa ? cp_ike_find(ike_of_fetcher, ike_sa->get_name(ike_sa)) : NULL;
}

CALLBACK(take_part, bool, chunk_t *all, chunk_t part)
{
	if (part.len > BYTES_MAX - all->len)
		return FALSE;
	*all = chunk_cat("mc", *all, part);
	return TRUE;
}

static status_t fetch_inside(private_fetcher_t *this, char *url, chunk_t *all)
{
	status_t status;

	is_inside = TRUE;
	if (this->request.len)
		status = lib->fetcher->fetch(lib->fetcher, url, all, FETCH_REQUEST_DATA,
		                             this->request, FETCH_REQUEST_TYPE, this->request_type,
		                             FETCH_TIMEOUT, this->timeout, FETCH_CALLBACK,
		                             take_part, FETCH_END);
	else
		status = lib->fetcher->fetch(lib->fetcher, url, all, FETCH_TIMEOUT, this->timeout,
		                             FETCH_CALLBACK, take_part, FETCH_END);
	is_inside = FALSE;
	return status;
}

METHOD(fetcher_t, fetch, status_t, private_fetcher_t *this, char *url, void *userdata)
{
	const struct cp_ike_tunnel *tunnel = current_tunnel();
	chunk_t all = chunk_empty;
	status_t status;

	if (is_inside)
		return NOT_SUPPORTED; /* the next fetcher's turn */
	if (!tunnel || tunnel->server->revocation == CP_REVOCATION_OFF ||
	    (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) ||
	    has_failed(url))
		return FAILED;
	status = fetch_inside(this, url, &all);
	if (status == SUCCESS) {
		*(chunk_t *)userdata = all;
		return SUCCESS;
	}
	chunk_free(&all);
	remember_failure(url);
	sp_log(SP_LOG_WARN, "ike: nothing could be fetched tunnel=%s url=\"%.200s\"", tunnel->name,
	       url);
	return FAILED;
}

METHOD(fetcher_t, set_option, bool, private_fetcher_t *this, fetcher_option_t option, ...)
{
	bool is_known = TRUE;
	va_list arguments;

	va_start(arguments, option);
	switch (option) {
	case FETCH_REQUEST_DATA:
		this->request = va_arg(arguments, chunk_t);
		break;
	case FETCH_REQUEST_TYPE:
		this->request_type = va_arg(arguments, char *);
		break;
	case FETCH_TIMEOUT:
		this->timeout = va_arg(arguments, u_int);
		break;
	default:
		is_known = is_inside; /* then it does not matter */
		break;
	}
	va_end(arguments);
	return is_known;
}

METHOD(fetcher_t, destroy, void, private_fetcher_t *this)
{
	free(this);
}

static fetcher_t *create(void)
{
	private_fetcher_t *this;

	INIT(this,
	     .public = {
		     .fetch = _fetch,
		     .set_option = _set_option,
		     .destroy = _destroy,
	     }, );
	return &this->public;
}

int cp_ike_fetcher_attach(struct cp_ike *ike)
{
	ike_of_fetcher = ike;
	lib->fetcher->add_fetcher(lib->fetcher, create, "");
	return 0;
}

void cp_ike_fetcher_detach(void)
{
	lib->fetcher->remove_fetcher(lib->fetcher, create);
}
