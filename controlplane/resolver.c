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
	uint32_t after_be;
	size_t tag;
	cp_resolved_fn done;
	void *context;
};

static uint32_t address_of(const struct addrinfo *info)
{
	return ((const struct sockaddr_in *)(const void *)info->ai_addr)->sin_addr.s_addr;
}

/* The order of the records does not matter to the turns: DNS servers change it with each answer. */
static uint32_t select_address(const struct addrinfo *list, uint32_t after_be)
{
	uint32_t least = UINT32_MAX, next = UINT32_MAX;

	if (!after_be)
		return address_of(list);
	for (; list; list = list->ai_next) {
		const uint32_t address = ntohl(address_of(list));

		if (address < least)
			least = address;
		if (address > ntohl(after_be) && address < next)
			next = address;
	}
	return htonl(next != UINT32_MAX ? next : least);
}

static void *look_up(void *argument)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM };
	struct job *job = argument;
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(job->name, NULL, &hints, &list);

	if (rc == 0 && list)
		job->done(job->context, job->tag, select_address(list, job->after_be), NULL);
	else
		job->done(job->context, job->tag, 0, rc ? gai_strerror(rc) : "no address");
	if (list)
		freeaddrinfo(list);
	free(job->name);
	free(job);
	return NULL;
}

void cp_resolve(const char *name, uint32_t after_be, size_t tag, cp_resolved_fn done, void *context)
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
		*job = (struct job){ strdup(name), after_be, tag, done, context };
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
