// SPDX-License-Identifier: MIT
#include "web/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "web/transaction.h"
#include "web/listener.h"
#include "web/quick.h"

enum {
	ACCEPTS_PER_TURN = 16, /* a flood of connections may not keep the loop from its other work */
	/* Room for newcomers while the evicted ones are being closed. */
	SPARE_CONNECTIONS = ACCEPTS_PER_TURN * WEB_MAX_LISTENERS,
	SWEEP_MS = 1000,
};

struct web {
	struct MHD_Daemon *daemon;
	int epoll_fd; /* the listeners, and libmicrohttpd's own epoll */
	struct web_listener listeners[WEB_MAX_LISTENERS];
	size_t n_listeners;
	bool is_deaf; /* out of descriptors: the listeners are out of the epoll until the next sweep */
	uint64_t swept_ms;
	uint64_t n_handoffs; /* connections that were not answered as they came */
	char addresses[WEB_MAX_LISTENERS * sizeof(((struct web_listener *)0)->name)];
	struct web_site site;
};

static int watch(int epoll_fd, int operation, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll_fd, operation, fd, &event) ? -errno : 0;
}

/* Connections are ours to accept (MHD_add_connection): one limit, one idle list for all listeners. */
static struct MHD_Daemon *start_daemon(struct web_site *site)
{
	// clang-format off
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, web_transaction_run, site,
				MHD_OPTION_URI_LOG_CALLBACK, web_transaction_begin, site,
				MHD_OPTION_NOTIFY_COMPLETED, web_transaction_end, site,
				MHD_OPTION_NOTIFY_CONNECTION, web_transaction_connection, site,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned)(WEB_MAX_CONNECTIONS + SPARE_CONNECTIONS),
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)WEB_IDLE_SECONDS,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)WEB_HEAD_BYTES,
				MHD_OPTION_END);
	// clang-format on
}

static int start(struct web *web)
{
	const union MHD_DaemonInfo *info;

	web->site.answered_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	web->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (web->epoll_fd < 0 || web->site.answered_fd < 0)
		return -errno;
	if (watch(web->epoll_fd, EPOLL_CTL_ADD, web->site.answered_fd))
		return -errno;
	web->daemon = start_daemon(&web->site);
	if (!web->daemon)
		return errno ? -errno : -ENOMEM;
	info = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	return info ? watch(web->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd) : -ENOTSUP;
}

int web_new(struct web **ret, web_handler handler, void *context)
{
	struct web *web = calloc(1, sizeof(*web));
	int rc;

	if (!web)
		return -ENOMEM;
	web->site.handler = handler;
	web->site.context = context;
	pthread_mutex_init(&web->site.lock, NULL);
	rc = start(web);
	if (rc) {
		web_free(web);
		return rc;
	}
	*ret = web;
	return 0;
}

void web_free(struct web *web)
{
	if (!web)
		return;
	while (web->n_listeners)
		web_listener_close(&web->listeners[--web->n_listeners]);
	if (web->daemon) {
		web_turn(web); /* a connection that waits for its answer may not be there when the daemon stops */
		MHD_stop_daemon(web->daemon);
	}
	if (web->epoll_fd >= 0)
		close(web->epoll_fd);
	if (web->site.answered_fd >= 0)
		close(web->site.answered_fd);
	pthread_mutex_destroy(&web->site.lock);
	free(web);
}

int web_listen(struct web *web, const char *address, char *error, size_t size)
{
	struct web_listener *listener = &web->listeners[web->n_listeners];
	size_t used = strlen(web->addresses);
	int rc;

	if (web->n_listeners == WEB_MAX_LISTENERS) {
		snprintf(error, size, "cannot listen on %.200s: at most %d addresses", address, WEB_MAX_LISTENERS);
		return -E2BIG;
	}
	rc = web_listener_open(listener, address, error, size);
	if (rc)
		return rc;
	rc = watch(web->epoll_fd, EPOLL_CTL_ADD, listener->fd);
	if (rc) {
		snprintf(error, size, "cannot listen on %.200s: %s", address, strerror(-rc));
		web_listener_close(listener);
		return rc;
	}
	web->n_listeners++;
	snprintf(web->addresses + used, sizeof(web->addresses) - used, "%s%s", used ? ", " : "", listener->name);
	return 0;
}

int web_require_token(struct web *web, const char *path, char *error, size_t size)
{
	return web_token_read(&web->site.token, path, error, size);
}

const char *web_addresses(const struct web *web)
{
	return web->addresses;
}

int web_fd(const struct web *web)
{
	return web->epoll_fd;
}

int web_timeout_ms(const struct web *web)
{
	MHD_UNSIGNED_LONG_LONG wanted;

	if (MHD_get_timeout(web->daemon, &wanted) == MHD_YES && wanted < SWEEP_MS)
		return (int)wanted;
	return web->site.peers.n || web->is_deaf ? SWEEP_MS : -1;
}

static void set_deaf(struct web *web, bool is_deaf)
{
	if (web->is_deaf == is_deaf)
		return;
	web->is_deaf = is_deaf;
	for (size_t i = 0; i < web->n_listeners; i++)
		watch(web->epoll_fd, is_deaf ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, web->listeners[i].fd);
}

/* True when one more connection may be taken in; the longest idle one may have had to go for it. */
static bool make_room(struct web *web)
{
	struct web_peers *peers = &web->site.peers;

	if (peers->n - peers->n_condemned < WEB_MAX_CONNECTIONS)
		return true;
	return web_peers_evict(peers);
}

/* Out of descriptors or memory: the level-triggered listeners would wake the loop for ever. */
static bool is_shortage(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/* False when there is nothing more to accept on it now. */
static bool accept_one(struct web *web, int listen_fd)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	int fd = accept4(listen_fd, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int code = fd < 0 ? errno : 0;

	if (is_shortage(code)) {
		web_peers_evict(&web->site.peers);
		set_deaf(web, true);
	}
	if (code)
		return code == ECONNABORTED || code == EINTR;
	/* One more look whether there are others costs more than to be woken for them. */
	if (web_quick_answer(&web->site, fd))
		return false;
	web->n_handoffs++;
	if (!make_room(web))
		close(fd);
	else /* closes it when it fails */
		MHD_add_connection(web->daemon, fd, (struct sockaddr *)&from, length);
	return true;
}

/* False: it is no listener. */
static bool accept_from(struct web *web, int fd)
{
	for (size_t i = 0; i < web->n_listeners; i++) {
		if (web->listeners[i].fd != fd)
			continue;
		for (int n = 0; n < ACCEPTS_PER_TURN && !web->is_deaf && accept_one(web, fd); n++)
			;
		return true;
	}
	return false;
}

static void sweep(struct web *web)
{
	uint64_t now = web_now_ms();

	if (now - web->swept_ms < SWEEP_MS)
		return;
	web->swept_ms = now;
	web_peers_sweep(&web->site.peers);
	set_deaf(web, false);
}

void web_turn(struct web *web)
{
	struct epoll_event events[WEB_MAX_LISTENERS + 2];
	int n = epoll_wait(web->epoll_fd, events, WEB_MAX_LISTENERS + 2, 0);
	uint64_t n_before = web->n_handoffs;
	bool only_new = n > 0;

	sweep(web);
	for (int i = 0; i < n; i++)
		only_new &= accept_from(web, events[i].data.fd);
	/* What was answered as it came leaves nothing to do. */
	if (only_new && web->n_handoffs == n_before && web->site.peers.n == 0)
		return;
	web_transaction_resume(&web->site);
	MHD_run(web->daemon);
}
