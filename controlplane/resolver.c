/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 addresses of DNS names, looked up on a thread of its own: getaddrinfo() may take half a
 * minute.
 */
#include "controlplane/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/netaddr.h"

struct job {
	char *name;
	uint32_t attempt;
	size_t tag;
	cp_resolved_fn done;
	void *context;
};

static uint32_t select_address(const struct addrinfo *list, uint32_t attempt)
{
	const struct addrinfo *at = list;
	uint32_t count = 0;

	for (; at; at = at->ai_next)
		count++;
	at = list;
	for (uint32_t i = attempt % count; i > 0; i--)
		at = at->ai_next;
	return ((const struct sockaddr_in *)(const void *)at->ai_addr)->sin_addr.s_addr;
}

static void *look_up(void *argument)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM };
	struct job *job = argument;
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(job->name, NULL, &hints, &list);

	if (rc == 0 && list)
		job->done(job->context, job->tag, select_address(list, job->attempt), NULL);
	else
		job->done(job->context, job->tag, 0, rc ? gai_strerror(rc) : "no address");
	if (list)
		freeaddrinfo(list);
	free(job->name);
	free(job);
	return NULL;
}

void cp_resolve(const char *name, uint32_t attempt, size_t tag, cp_resolved_fn done, void *context)
{
	pthread_attr_t attributes;
	pthread_t thread;
	uint32_t address_be;
	struct job *job;
	int rc = -ENOMEM;

	if (sp_address_parse(name, &address_be) == 0) {
		done(context, tag, address_be, NULL);
		return;
	}
	job = calloc(1, sizeof(*job));
	if (job) {
		*job = (struct job){ strdup(name), attempt, tag, done, context };
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		rc = job->name ? -pthread_create(&thread, &attributes, look_up, job) : -ENOMEM;
		pthread_attr_destroy(&attributes);
	}
	if (rc != 0) {
		done(context, tag, 0, strerror(-rc));
		if (job)
			free(job->name);
		free(job);
	}
}
