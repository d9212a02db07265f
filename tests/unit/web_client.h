// SPDX-License-Identifier: MIT
/*
 * A server in this process, turned by this process; the client is a forked child that exits 0 when it saw
 * what it wanted to see. The child reports by check(), because Criterion's assertions only work in the test's
 * own process.
 */
#ifndef REQMETER_TESTS_UNIT_WEB_CLIENT_H
#define REQMETER_TESTS_UNIT_WEB_CLIENT_H

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "web/server.h"

#define HOST "Host: localhost\r\n"

struct bench {
	struct web *web;
	int port;
	char path[100]; /* of the Unix socket */
};

static inline void bench_open(struct bench *bench, web_handler handler, void *context)
{
	char error[300] = "", address[128];

	snprintf(bench->path, sizeof(bench->path), "/tmp/reqmeter-web-test.%d.sock", getpid());
	snprintf(address, sizeof(address), "unix:%s", bench->path);
	cr_assert_eq(web_new(&bench->web, handler, context), 0);
	cr_assert_eq(web_listen(bench->web, "127.0.0.1:0", error, sizeof(error)), 0, "%s", error);
	cr_assert_eq(web_listen(bench->web, address, error, sizeof(error)), 0, "%s", error);
	cr_assert_eq(sscanf(web_addresses(bench->web), "127.0.0.1:%d, unix:", &bench->port), 1);
}

/* Turns the server until the child has ended; its exit code. */
static inline int bench_serve(struct bench *bench, pid_t child)
{
	struct pollfd fds[] = { { .fd = web_fd(bench->web), .events = POLLIN },
				{ .fd = pidfd_open(child, 0), .events = POLLIN } };
	int status;

	cr_assert_geq(fds[1].fd, 0);
	while (!fds[1].revents) {
		poll(fds, 2, web_timeout_ms(bench->web));
		web_turn(bench->web);
	}
	close(fds[1].fd);
	cr_assert_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void bench_run(struct bench *bench, void (*client)(const struct bench *bench))
{
	pid_t child = fork();

	if (child == 0) {
		client(bench);
		_exit(0);
	}
	cr_expect_eq(bench_serve(bench, child), 0, "the client saw something else, see above");
}

/* In the child. */
#define check(condition, ...)                                                                                          \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);                        \
			fprintf(stderr, __VA_ARGS__);                                                                  \
			fputc('\n', stderr);                                                                           \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static inline int dial(const struct bench *bench)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)bench->port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "%m");
	return fd;
}

static inline int dial_unix(const struct bench *bench)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(to.sun_path, bench->path);
	check(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "%m");
	return fd;
}

static inline void say(int fd, const char *text)
{
	for (size_t n = strlen(text); n;) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

		check(sent > 0, "%m");
		text += sent;
		n -= (size_t)sent;
	}
}

struct reply {
	int status;
	char *head; /* with the empty line, NUL-terminated */
	char *body; /* NUL-terminated */
	size_t length;
};

/* The value of a header, "" when it is not there. */
static inline const char *header(const struct reply *reply, const char *name)
{
	static char value[20000];
	const char *line = reply->head;

	value[0] = '\0';
	while ((line = strstr(line, "\r\n")) && line[2] != '\r') {
		line += 2;
		if (strncasecmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			sscanf(line + strlen(name) + 1, " %19999[^\r]", value);
	}
	return value;
}

/* Reads one reply: the head, then as many bytes as it promises (none after HEAD). */
static inline struct reply hear(int fd, bool is_head)
{
	struct reply reply = { .head = calloc(1, 32768) };
	size_t n = 0;

	while (!strstr(reply.head, "\r\n\r\n")) { /* byte by byte: nothing of the next reply may be taken */
		ssize_t got = n < 32767 ? recv(fd, reply.head + n, 1, 0) : -1;

		if (got <= 0)
			return reply; /* status 0: closed without one */
		n++;
	}
	sscanf(reply.head, "HTTP/1.%*d %d", &reply.status);
	reply.length = is_head ? 0 : strtoul(header(&reply, "Content-Length"), NULL, 10);
	reply.body = calloc(1, reply.length + 1);
	for (n = 0; n < reply.length;) {
		ssize_t got = recv(fd, reply.body + n, reply.length - n, 0);

		check(got > 0, "the body ended after %zu of %zu bytes", n, reply.length);
		n += (size_t)got;
	}
	return reply;
}

static inline struct reply ask(int fd, const char *text)
{
	say(fd, text);
	return hear(fd, strncmp(text, "HEAD ", 5) == 0);
}

/* One request on a connection of its own. */
static inline struct reply ask_once(const struct bench *bench, const char *text)
{
	int fd = dial(bench);
	struct reply reply = ask(fd, text);

	close(fd);
	return reply;
}

/* An error of the server: the status, and JSON with this code. */
static inline void check_error(const struct reply *reply, int status, const char *code)
{
	cJSON *root = cJSON_Parse(reply->body);
	const cJSON *error = cJSON_GetObjectItem(root, "error");

	check(reply->status == status, "%d: %s", reply->status, reply->body);
	check(strcmp(header(reply, "Content-Type"), "application/json") == 0, "%s", reply->head);
	check(error && cJSON_GetObjectItem(error, "message"), "%s", reply->body);
	check(strcmp(cJSON_GetObjectItem(error, "code")->valuestring, code) == 0, "%s", reply->body);
	cJSON_Delete(root);
}

static inline long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
