// SPDX-License-Identifier: MIT
/* The server with real sockets: what it lets through, what it refuses, where it listens. */
#include "web_client.h"

#include <errno.h>
#include <sys/stat.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* Answers with what it was asked. */
static void echo(void *context, const struct web_request *request, struct web_answer *answer)
{
	char *body = NULL;
	size_t n = 0;
	FILE *out;

	(void)context;
	answer->status = 200;
	answer->content_type = "text/plain";
	if (strcmp(request->path, "/nothing") == 0) {
		answer->status = 0;
		return;
	}
	out = open_memstream(&body, &n);
	fprintf(out, "%s %s unix=%d pid=%d ip=%s fd=%d", request->method, request->path, request->is_unix,
		request->peer_pid, request->peer_ip, request->fd >= 0);
	for (size_t i = 0; i < request->n_pairs; i++)
		fprintf(out, " %s=[%s]", request->pairs[i].name, request->pairs[i].value);
	fclose(out);
	answer->body = body;
	answer->length = n;
}

static struct bench bench;

static void open_bench(void)
{
	bench_open(&bench, echo, NULL);
}

static void close_bench(void)
{
	web_free(bench.web);
}

TestSuite(web_server, .init = open_bench, .fini = close_bench, .timeout = 30);

static void get_client(const struct bench *to)
{
	struct reply reply = ask_once(to, "GET /a?x=1&y=%41+b HTTP/1.1\r\n" HOST "\r\n");

	check(reply.status == 200, "%d", reply.status);
	check(strcmp(reply.body, "GET /a unix=0 pid=0 ip=127.0.0.1 fd=1 x=[1] y=[A b]") == 0, "%s", reply.body);
	check(strcmp(header(&reply, "Content-Type"), "text/plain") == 0, "%s", reply.head);
	check(strcmp(header(&reply, "X-Content-Type-Options"), "nosniff") == 0, "%s", reply.head);
	check(strcmp(header(&reply, "Cache-Control"), "no-store") == 0, "%s", reply.head);
	reply = ask_once(to, "GET /nothing HTTP/1.1\r\n" HOST "\r\n");
	check_error(&reply, 500, "internal");
}

Test(web_server, answers_get)
{
	bench_run(&bench, get_client);
}

static void head_client(const struct bench *to)
{
	int fd = dial(to);
	struct reply head = ask(fd, "HEAD /a HTTP/1.1\r\n" HOST "\r\n");
	/* If a body had come, the next reply would begin with it. */
	struct reply next = ask(fd, "GET /bb HTTP/1.1\r\n" HOST "\r\n");

	check(head.status == 200 && strtoul(header(&head, "Content-Length"), NULL, 10) > 10, "%s", head.head);
	check(next.status == 200 && strncmp(next.body, "GET /bb ", 8) == 0, "%s", next.body);
	head = ask(fd, "HEAD /a?%00 HTTP/1.1\r\n" HOST "\r\n");
	check(head.status == 400, "%s", head.head);
}

Test(web_server, answers_head_without_body)
{
	bench_run(&bench, head_client);
}

static void methods_client(const struct bench *to)
{
	static const char *const texts[] = {
		"POST /stats/ HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
		"POST /stats/ HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
		"DELETE / HTTP/1.1\r\n" HOST "\r\n",
		"OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
		"PATCH /nowhere HTTP/1.1\r\n" HOST "\r\n",
		"get / HTTP/1.1\r\n" HOST "\r\n",
		"BR\xff\x01W / HTTP/1.1\r\n" HOST "\r\n",
	};
	int fd = dial(to);
	struct reply reply;

	for (size_t i = 0; i < N(texts); i++) { /* on one connection: a body must not be taken for a request */
		reply = ask(fd, texts[i]);
		check_error(&reply, 405, "method_not_allowed");
		check(strcmp(header(&reply, "Allow"), "GET, HEAD") == 0, "%s", reply.head);
	}
	reply = ask(fd, "GET /still HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc");
	check(reply.status == 200 && strstr(reply.body, "/still"), "%d", reply.status);
}

Test(web_server, refuses_other_methods)
{
	bench_run(&bench, methods_client);
}

static void host_client(const struct bench *to)
{
	static const struct {
		const char *text;
		int status;
		const char *code;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "host_not_allowed" },
		{ "GET / HTTP/1.1\r\nHost: evil.example:9790\r\n\r\n", 403, "host_not_allowed" },
		{ "GET / HTTP/1.1\r\nhost: localhost.evil\r\n\r\n", 403, "host_not_allowed" },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", 403, "host_not_allowed" },
		{ "GET / HTTP/1.0\r\nHost: evil\r\n\r\n", 403, "host_not_allowed" },
		{ "POST / HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n", 403, "host_not_allowed" },
		{ "GET / HTTP/1.1\r\n\r\n", 400, "bad_request" },
		{ "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400, "bad_request" },
		{ "GET / HTTP/1.1\r\nHost: evil\r\nHost: localhost\r\n\r\n", 400, "bad_request" },
	};
	static const char *const good[] = { "Host: 127.0.0.1", "Host: [::1]:80", "host:LOCALHOST:9790",
					    "Host:  10.0.0.1  " };
	char text[200];
	struct reply reply;

	for (size_t i = 0; i < N(cases); i++) {
		reply = ask_once(to, cases[i].text);
		check_error(&reply, cases[i].status, cases[i].code);
	}
	for (size_t i = 0; i < N(good); i++) {
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n\r\n", good[i]);
		reply = ask_once(to, text);
		check(reply.status == 200, "%s: %d", good[i], reply.status);
	}
	reply = ask_once(to, "GET / HTTP/1.0\r\n\r\n");
	check(reply.status == 200, "%d", reply.status);
}

Test(web_server, checks_host)
{
	bench_run(&bench, host_client);
}

static struct reply ask_query(const struct bench *to, const char *piece, size_t n)
{
	char *text = calloc(1, strlen(piece) * n + 100), *end = stpcpy(text, "GET /a?");
	struct reply reply;

	while (n--)
		end = stpcpy(end, piece);
	strcpy(end, " HTTP/1.1\r\n" HOST "\r\n");
	reply = ask_once(to, text);
	free(text);
	return reply;
}

static void query_client(const struct bench *to)
{
	static const struct {
		const char *piece;
		size_t n;
		int status;
	} cases[] = { { "a=1&", 64, 200 }, { "a=1&", 65, 400 }, { "&", 5000, 200 },  { "&a", 8000, 400 },
		      { "x", 16000, 200 }, { "x", 17000, 400 }, { "x", 40000, 400 }, { "%41", 5000, 200 },
		      { "%00", 1, 400 },   { "%", 1, 400 } };
	struct reply reply;

	for (size_t i = 0; i < N(cases); i++) {
		reply = ask_query(to, cases[i].piece, cases[i].n);
		check(reply.status == cases[i].status, "%zu of '%s': %d", cases[i].n, cases[i].piece, reply.status);
		if (reply.status == 400)
			check_error(&reply, 400, "bad_request");
	}
	reply = ask_query(to, "x", 200000); /* beyond what a connection may hold: libmicrohttpd's own words */
	check(reply.status == 0 || reply.status == 414 || reply.status == 431, "%d", reply.status);
	reply = ask_once(to, "GET /a b HTTP/1.1\r\n" HOST "\r\n");
	check_error(&reply, 400, "bad_request");
}

Test(web_server, refuses_bad_queries)
{
	bench_run(&bench, query_client);
}

static void pipeline_client(const struct bench *to)
{
	int fd = dial(to);
	struct reply one, two;

	say(fd, "GET /one HTTP/1.1\r\n" HOST "\r\nGET /two HTTP/1.1\r\n" HOST "\r\n");
	one = hear(fd, false);
	two = hear(fd, false);
	check(one.status == 200 && strstr(one.body, "/one"), "%d", one.status);
	check(two.status == 200 && strstr(two.body, "/two"), "%d", two.status);
	for (int i = 0; i < 200; i++) {
		one = ask(fd, "GET /again HTTP/1.1\r\n" HOST "\r\n");
		check(one.status == 200, "%d", one.status);
		free(one.head);
		free(one.body);
	}
}

Test(web_server, keeps_connections)
{
	bench_run(&bench, pipeline_client);
}

static void half_closed_client(const struct bench *to)
{
	for (int i = 0; i < 2; i++) {
		int fd = i ? dial(to) : dial_unix(to);
		struct reply reply;

		say(fd, "GET /a HTTP/1.0\r\n\r\n");
		shutdown(fd, SHUT_WR); /* as nc -N does */
		reply = hear(fd, false);
		check(reply.status == 200, "%d", reply.status);
	}
}

Test(web_server, answers_a_client_that_said_all)
{
	bench_run(&bench, half_closed_client);
}

static void rude_client(const struct bench *to)
{
	static const char *const junk[] = { "\r\n\r\n\r\n",
					    "GET\r\n\r\n",
					    "GET /\r\n\r\n",
					    "GET / HTTP/9.9\r\n\r\n",
					    "\x16\x03\x01\x02\x01\xfc\x03\x03",
					    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
					    "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
					    "GET / HTTP/1.1\r\n: x\r\n\r\n",
					    "GET /a HTTP/1.1\r\n" HOST "\r\n" };
	struct reply reply;

	for (int i = 0; i < 20; i++) {
		for (size_t k = 0; k < N(junk); k++) {
			int fd = k % 2 ? dial(to) : dial_unix(to);

			say(fd, junk[k]);
			close(fd); /* in the middle of whatever the server does with it */
		}
	}
	reply = ask_once(to, "GET /after HTTP/1.1\r\n" HOST "\r\n");
	check(reply.status == 200, "%d", reply.status);
}

Test(web_server, survives_junk)
{
	bench_run(&bench, rude_client);
}

static void unix_client(const struct bench *to)
{
	char text[100];
	struct stat found;
	struct reply reply = ask(dial_unix(to), "GET /u HTTP/1.1\r\nHost: any.name\r\n\r\n");

	snprintf(text, sizeof(text), "GET /u unix=1 pid=%d ip= fd=1", getpid());
	check(reply.status == 200 && strcmp(reply.body, text) == 0, "%s", reply.body);
	check(stat(to->path, &found) == 0 && (found.st_mode & 0777) == 0660, "%o", found.st_mode);
}

Test(web_server, unix_socket)
{
	bench_run(&bench, unix_client);
	web_free(bench.web);
	bench.web = NULL;
	cr_expect_neq(access(bench.path, F_OK), 0);
}

static void token_client(const struct bench *to)
{
	struct reply reply = ask_once(to, "GET / HTTP/1.1\r\n" HOST "\r\n");

	check_error(&reply, 401, "unauthorized");
	check(strcmp(header(&reply, "WWW-Authenticate"), "Bearer") == 0, "%s", reply.head);
	reply = ask_once(to, "GET / HTTP/1.1\r\n" HOST "Authorization: Bearer guess\r\n\r\n");
	check_error(&reply, 401, "unauthorized");
	reply = ask_once(to, "GET / HTTP/1.1\r\nHost: evil\r\nAuthorization: Bearer s3cret\r\n\r\n");
	check_error(&reply, 403, "host_not_allowed");
	reply = ask_once(to, "GET / HTTP/1.1\r\n" HOST "Authorization: Bearer s3cret\r\n\r\n");
	check(reply.status == 200, "%d", reply.status);
	reply = ask(dial_unix(to), "GET / HTTP/1.1\r\n" HOST "\r\n");
	check(reply.status == 200, "%d", reply.status);
}

Test(web_server, wants_the_token_on_tcp)
{
	char path[] = "/tmp/web_server.XXXXXX", error[300] = "";
	int fd = mkstemp(path);

	cr_assert_eq(write(fd, "s3cret\n", 7), 7);
	close(fd);
	cr_assert_eq(web_require_token(bench.web, path, error, sizeof(error)), 0, "%s", error);
	unlink(path);
	bench_run(&bench, token_client);
}

static void expect_no_listen(const char *address, int code, const char *message)
{
	char error[300] = "";

	cr_expect_eq(web_listen(bench.web, address, error, sizeof(error)), code, "%s: %s", address, error);
	cr_expect_str_eq(error, message);
}

Test(web_server, says_why_it_cannot_listen)
{
	char address[200], message[400];

	snprintf(address, sizeof(address), "127.0.0.1:%d", bench.port);
	snprintf(message, sizeof(message),
		 "cannot listen on %s: the port is in use, perhaps by another agent; --listen takes another", address);
	expect_no_listen(address, -EADDRINUSE, message);
	snprintf(address, sizeof(address), "unix:%s", bench.path);
	snprintf(message, sizeof(message), "cannot listen on %s: another program answers on that socket", address);
	expect_no_listen(address, -EEXIST, message);
	expect_no_listen("192.0.2.1:0", -EADDRNOTAVAIL,
			 "cannot listen on 192.0.2.1:0: this machine has no such address");
	expect_no_listen("unix:/etc/passwd", -ENOTSOCK,
			 "cannot listen on unix:/etc/passwd: a file that is no socket is in the way");
	expect_no_listen("unix:/nonexistent/deep/x.sock", -ENOENT,
			 "cannot listen on unix:/nonexistent/deep/x.sock: its directory does not exist");
	cr_expect_eq(access(bench.path, F_OK), 0);
	bench_run(&bench, get_client); /* the others are none the worse */
}

Test(web_server, replaces_a_stale_socket_only)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char address[200], error[300] = "";
	int stale = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat found;

	snprintf(to.sun_path, sizeof(to.sun_path), "/tmp/reqmeter-stale.%d.sock", getpid());
	snprintf(address, sizeof(address), "unix:%s", to.sun_path);
	cr_assert_eq(bind(stale, (struct sockaddr *)&to, sizeof(to)), 0);
	close(stale); /* as after kill -9: the file stays, nobody answers */
	cr_expect_eq(web_listen(bench.web, address, error, sizeof(error)), 0, "%s", error);
	cr_expect_eq(stat(to.sun_path, &found), 0);

	/* Somebody else took the name meanwhile: it is not ours to remove. */
	unlink(to.sun_path);
	stale = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(stale, (struct sockaddr *)&to, sizeof(to)), 0);
	web_free(bench.web);
	bench.web = NULL;
	cr_expect_eq(stat(to.sun_path, &found), 0);
	unlink(to.sun_path);
	close(stale);
}

Test(web_server, names_its_addresses)
{
	char error[300] = "", expected[200];

	snprintf(expected, sizeof(expected), "127.0.0.1:%d, unix:%s", bench.port, bench.path);
	cr_expect_str_eq(web_addresses(bench.web), expected);
	if (web_listen(bench.web, "[::1]:0", error, sizeof(error)) == 0)
		cr_expect(strstr(web_addresses(bench.web), ", [::1]:"), "%s", web_addresses(bench.web));
	cr_expect_eq(web_listen(bench.web, "localhost:0", error, sizeof(error)), 0, "%s", error);
	cr_expect_eq(web_timeout_ms(bench.web), -1);
}
