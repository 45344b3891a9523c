/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The health answer by HTTP: what the API says, with a status. libmicrohttpd speaks HTTP.
 */
#include "controlplane/health_http.h"

#include "common/ipc_codec.h"
#include "controlplane/api_answer.h"

#include <jansson.h>
#include <microhttpd.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_MAX 32u
#define CLIENTS_OF_A_HOST_MAX 16u
#define PATIENCE_S 5u
#define PATH "/health"

struct cp_health {
	struct cp_api_context context;
	struct MHD_Daemon *daemon;
};

/* The request of the API that a URL stands for, or -ENOENT. */
static int translate(const char *url, char request[128])
{
	const char *name = url + strlen(PATH);

	if (strncmp(url, PATH, strlen(PATH)) != 0)
		return -ENOENT;
	if (*name == 0 || strcmp(name, "/") == 0) {
		snprintf(request, 128, "{\"command\":\"health\"}");
		return 0;
	}
	if (*name++ != '/' || ipc_name_check(name) != 0)
		return -ENOENT;
	snprintf(request, 128, "{\"command\":\"health\",\"arguments\":{\"environment\":\"%s\"}}",
	         name);
	return 0;
}

/* The status for the API's REPLY; *BODY is what it says, to be freed. */
static unsigned judge(const char *reply, char **body)
{
	json_t *root = reply ? json_loads(reply, 0, NULL) : NULL;
	const json_t *result = json_object_get(root, "result");
	const char *state = json_string_value(json_object_get(result, "state"));
	const char *code = json_string_value(json_object_get(root, "code"));
	unsigned status = MHD_HTTP_SERVICE_UNAVAILABLE;

	if (state && strcmp(state, "ready") == 0)
		status = MHD_HTTP_OK;
	else if (code && strcmp(code, "not-found") == 0)
		status = MHD_HTTP_NOT_FOUND;
	*body = json_dumps(result ? result : root, JSON_COMPACT);
	json_decref(root);
	return status;
}

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, char *body)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		body ? strlen(body) : 0, body,
		body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result rc;

	if (!response) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	rc = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return rc;
}

static enum MHD_Result on_request(void *argument, struct MHD_Connection *connection,
                                  const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **state)
{
	struct cp_health *health = argument;
	char request[128], *reply, *body = NULL;
	unsigned status;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, NULL);
	if (translate(url, request) != 0)
		return respond(connection, MHD_HTTP_NOT_FOUND, NULL);
	reply = cp_api_answer(&health->context, request, strlen(request));
	status = judge(reply, &body);
	free(reply);
	return respond(connection, status, body);
}

int cp_health_start(const struct cp_api_context *context, uint32_t address_be, uint16_t port_be,
                    struct cp_health **started)
{
	struct cp_health *health = calloc(1, sizeof(*health));
	const struct sockaddr_in address = { .sin_family = AF_INET,
		                             .sin_port = port_be,
		                             .sin_addr.s_addr = address_be };

	*started = NULL;
	if (!health)
		return -ENOMEM;
	health->context = *context;
	errno = 0;
	health->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL,
	                                  NULL, on_request, health, MHD_OPTION_SOCK_ADDR, &address,
	                                  MHD_OPTION_CONNECTION_LIMIT, CLIENTS_MAX,
	                                  MHD_OPTION_PER_IP_CONNECTION_LIMIT, CLIENTS_OF_A_HOST_MAX,
	                                  MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE_S,
	                                  MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
	if (!health->daemon) {
		free(health);
		return errno ? -errno : -EADDRNOTAVAIL;
	}
	*started = health;
	return 0;
}

void cp_health_stop(struct cp_health *health)
{
	if (!health)
		return;
	MHD_stop_daemon(health->daemon);
	free(health);
}
