/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SOCK_SEQPACKET socket of the contract: listen, connect, check the peer, send and receive
 * whole messages.
 */
#include "common/ipc_sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/ipc_proto.h"

#define BACKLOG 8

static int fill_address(struct sockaddr_un *address, const char *path)
{
	size_t length = strlen(path);

	if (length == 0)
		return -EINVAL;
	if (length >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length + 1);
	return 0;
}

static int open_socket(int flags)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? -errno : fd;
}

/* Removes a socket file that nobody answers on. -EADDRINUSE: somebody does, or it is not a socket.
 */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, rc = 0;

	if (lstat(address->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = open_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return fd;
	/* EPROTOTYPE, EAGAIN (full backlog) and success all mean that somebody listens. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno != ECONNREFUSED)
		rc = -EADDRINUSE;
	close(fd);
	if (rc == 0 && unlink(address->sun_path) != 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}

int ipc_listen(const char *path, gid_t group)
{
	struct sockaddr_un address;
	int fd, rc;

	rc = fill_address(&address, path);
	if (rc == 0)
		rc = remove_stale(&address);
	if (rc != 0)
		return rc;
	fd = open_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return fd;
	/* The mode of the descriptor is the mode bind() creates the file with: never wider than at
	 * the end. */
	if (fchmod(fd, 0600) != 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		rc = -errno;
		goto err_socket;
	}
	if ((group != (gid_t)-1 && chown(path, (uid_t)-1, group) != 0) || chmod(path, 0660) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		rc = -errno;
		goto err_file;
	}
	return fd;

err_file:
	unlink(path);
err_socket:
	close(fd);
	return rc;
}

static int check_peer(int fd, uid_t allowed)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
		return -errno;
	if (peer.uid == 0 || peer.uid == geteuid() || (allowed != (uid_t)-1 && peer.uid == allowed))
		return 0;
	return -EPERM;
}

int ipc_accept(int listener, uid_t allowed)
{
	int fd, rc;

	do {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return -errno;
	rc = check_peer(fd, allowed);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	return fd;
}

int ipc_connect(const char *path)
{
	struct sockaddr_un address;
	int fd, rc;

	rc = fill_address(&address, path);
	if (rc != 0)
		return rc;
	fd = open_socket(0);
	if (fd < 0)
		return fd;
	do {
		rc = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
	} while (rc == -EINTR);
	if (rc == 0)
		rc = check_peer(fd, (uid_t)-1);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	return fd;
}

/* Room for one descriptor beside a message. */
union rights {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static int send_parts(int fd, struct ipc_header *header, const void *body, size_t body_length,
                      const void *more, size_t more_length, int descriptor)
{
	union rights rights = { .header = { .cmsg_level = SOL_SOCKET,
		                            .cmsg_type = SCM_RIGHTS,
		                            .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec parts[3] = {
		{ header, sizeof(*header) },
		{ (void *)(uintptr_t)body, body_length },
		{ (void *)(uintptr_t)more, more_length },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 3 };
	const size_t room = IPC_MSG_MAX - sizeof(*header);
	ssize_t sent;

	if (body_length > room || more_length > room - body_length)
		return -EMSGSIZE;
	header->length = (uint32_t)(sizeof(*header) + body_length + more_length);
	if (descriptor >= 0) {
		memcpy(CMSG_DATA(&rights.header), &descriptor, sizeof(descriptor));
		message.msg_control = &rights;
		message.msg_controllen = sizeof(rights);
	}
	do {
		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == header->length ? 0 : -EMSGSIZE;
}

int ipc_send(int fd, uint16_t type, uint16_t flags, uint32_t seq, int32_t status, const void *body,
             size_t body_length, const void *more, size_t more_length)
{
	struct ipc_header header = { .type = type, .flags = flags, .seq = seq, .status = status };

	return send_parts(fd, &header, body, body_length, more, more_length, -1);
}

int ipc_send_descriptor(int fd, uint16_t type, uint16_t flags, uint32_t seq, const void *body,
                        size_t body_length, int descriptor)
{
	struct ipc_header header = { .type = type, .flags = flags, .seq = seq };

	return send_parts(fd, &header, body, body_length, NULL, 0, descriptor);
}

/* The descriptor among what came beside a message, or -1. There is room for one alone, so the
 * kernel has closed what else came. */
static int take_descriptor(struct msghdr *message)
{
	const struct cmsghdr *at = CMSG_FIRSTHDR(message);
	int descriptor;

	if (!at || at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS ||
	    at->cmsg_len != CMSG_LEN(sizeof(descriptor)))
		return -1;
	memcpy(&descriptor, CMSG_DATA(at), sizeof(descriptor));
	return descriptor;
}

ssize_t ipc_receive_descriptor(int fd, void *buffer, size_t size, int *descriptor)
{
	union rights rights;
	struct iovec part = { buffer, size };
	struct msghdr message = { .msg_iov = &part,
		                  .msg_iovlen = 1,
		                  .msg_control = &rights,
		                  .msg_controllen = sizeof(rights) };
	ssize_t received;

	*descriptor = -1;
	do {
		received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	*descriptor = take_descriptor(&message);
	if (!(message.msg_flags & MSG_TRUNC))
		return received;
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
	return -EMSGSIZE;
}

ssize_t ipc_receive(int fd, void *buffer, size_t size)
{
	struct iovec part = { buffer, size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t received;

	do {
		received = recvmsg(fd, &message, 0);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : received;
}
