/* SPDX-License-Identifier: MIT */
#include "cli/cmd_agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "cli/options.h"
#include "cli/service.h"

/* How long records may wait in the ring when no client reads: see RING_BYTES. */
#define DRAIN_MS    100
#define ERROR_BYTES 512

struct serving {
	struct agent_options options;
	struct agent *agent;
	struct web *web;
	struct service *service; /* NULL until the agent measures */
	int signals;
};

static int complain(const char *what)
{
	fprintf(stderr, "reqmeter: %s\n", what);
	return 1;
}

/* --- setting up --- */

/* The default Unix socket is a convenience: where it cannot be made (no /run/reqmeter), TCP alone will do. */
static int listen_all(struct serving *s)
{
	char error[ERROR_BYTES];

	for (size_t i = 0; i < s->options.listen.n; i++) {
		const char *address = s->options.listen.items[i];

		if (web_listen(s->web, address, error, sizeof(error)) == 0)
			continue;
		if (s->options.listen_is_default && strncmp(address, "unix:", 5) == 0)
			continue;
		return complain(error);
	}
	if (s->options.token_file && web_require_token(s->web, s->options.token_file, error, sizeof(error)))
		return complain(error);
	return 0;
}

/* What the settings allow, not what is used. */
static void state_bound(const struct agent_settings *settings)
{
	struct model_bytes b = agent_bytes_max(settings);

	fprintf(stderr,
		"reqmeter: memory for requests is at most %llu MiB: %llu for %zu rows, %llu for routes, %llu in flight\n",
		(unsigned long long)(b.rows + b.routes + b.in_flight) >> 20, (unsigned long long)b.rows >> 20, b.n_rows,
		(unsigned long long)b.routes >> 20, (unsigned long long)b.in_flight >> 20);
}

static int watch(struct serving *s)
{
	struct agent_settings settings = {
		.scopes = s->options.scopes,
		.n_scopes = s->options.n_scopes,
		.n_recent = s->options.recent,
		.keep_ns = s->options.keep_ns,
		.id_headers = { (const char *const *)s->options.id_headers.items, s->options.id_headers.n },
		.show_args = s->options.show_args,
		.no_memory = s->options.no_memory,
		.infer_handoff = s->options.infer_handoff,
		.allow_pid_namespace = s->options.allow_pid_namespace,
		.rows_per_second = s->options.max_rows_per_second,
	};
	static const char *const none[] = { NULL };
	char error[ERROR_BYTES];

	if (agent_new(&s->agent, &settings, error, sizeof(error)))
		return complain(error);
	state_bound(&settings);
	features_print_failed(agent_features(s->agent), none, stderr);
	return 0;
}

/*
 * Send systemd's readiness message: one datagram to the socket named by NOTIFY_SOCKET. A missing receiver is no error.
 */
static void notify_systemd(void)
{
	const char *path = getenv("NOTIFY_SOCKET"), message[] = "READY=1";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, n);
	if (path[0] == '@')
		address.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* --- turning --- */

static int add(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int turn_until_signal(struct serving *s)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), n = 0;
	struct epoll_event events[8];
	bool stop = false;

	if (epoll < 0 || add(epoll, agent_fd(s->agent)) || add(epoll, s->signals))
		return complain("cannot wait for events");
	agent_raise_priority();
	while (!stop) {
		n = epoll_wait(epoll, events, 8, DRAIN_MS);
		for (int i = 0; i < n; i++)
			stop |= events[i].data.fd == s->signals;
		service_drain(s->service);
	}
	close(epoll);
	return 0;
}

static int serve(struct serving *s)
{
	struct web_dispatch routes;
	int rc;

	service_dispatch(&routes, &s->service);
	rc = web_new(&s->web, web_dispatch_answer, &routes);
	if (rc)
		return complain(strerror(-rc));
	/* Listen first: a port in use is reported before programs are loaded. */
	rc = listen_all(s);
	if (rc == 0)
		rc = watch(s);
	if (rc == 0)
		rc = service_start(&s->service, s->web, s->agent, &s->options.default_scope)
			     ? complain("cannot start threads")
			     : 0;
	if (rc == 0) {
		printf("reqmeter: ready, listening on %s\n", web_addresses(s->web));
		fflush(stdout);
		notify_systemd();
		rc = turn_until_signal(s);
	}
	service_stop(s->service);
	s->service = NULL; /* clients that are still connected get an answer that says so */
	agent_free(s->agent);
	web_free(s->web);
	return rc;
}

int cmd_agent(int argc, char **argv)
{
	struct serving s = { 0 };
	int rc = agent_options_parse(&s.options, argc, argv);

	if (rc == OPTIONS_GO) {
		s.signals = catch_signals();
		rc = serve(&s);
		close(s.signals);
	}
	agent_options_done(&s.options);
	return rc;
}
