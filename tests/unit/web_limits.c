// SPDX-License-Identifier: MIT
/* Whom the server keeps waiting: nobody, whatever slow, idle or many clients do. */
#include "web_client.h"

#include <sys/resource.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

enum { BIG = 24 << 20 };

static void answer_big_or_small(void *context, const struct web_request *request, struct web_answer *answer)
{
	size_t n = strcmp(request->path, "/big") == 0 ? BIG : 5;

	(void)context;
	answer->status = 200;
	answer->content_type = "text/plain";
	answer->body = malloc(n);
	answer->length = n;
	memset(answer->body, 'x', n);
}

static struct bench bench;

static void open_bench(void)
{
	bench_open(&bench, answer_big_or_small, NULL);
}

static void close_bench(void)
{
	web_free(bench.web);
}

TestSuite(web_limits, .init = open_bench, .fini = close_bench, .timeout = 30);

static void slow_client(const struct bench *to)
{
	int slow[4], dribbling = dial(to);
	long begin;
	struct reply reply;

	for (size_t i = 0; i < N(slow); i++) {
		slow[i] = i % 2 ? dial_unix(to) : dial(to);
		say(slow[i], "GET /big HTTP/1.1\r\n" HOST "\r\n"); /* and reads nothing */
	}
	say(dribbling, "GET / HT");
	begin = now_ms();
	for (int i = 0; i < 100; i++) {
		reply = ask_once(to, "GET /quick HTTP/1.1\r\n" HOST "\r\n");
		check(reply.status == 200, "%d", reply.status);
	}
	check(now_ms() - begin < 2000, "100 requests took %ld ms", now_ms() - begin);
	for (size_t i = 0; i < N(slow); i++) {
		reply = hear(slow[i], false);
		check(reply.status == 200 && reply.length == BIG && strspn(reply.body, "x") == BIG, "%zu",
		      reply.length);
		free(reply.body);
	}
	reply = ask(dribbling, "TP/1.1\r\n" HOST "\r\n");
	check(reply.status == 200, "%d", reply.status);
}

Test(web_limits, slow_clients_block_nobody)
{
	bench_run(&bench, slow_client);
}

static void crowd_client(const struct bench *to)
{
	enum { CROWD = 300 };
	struct pollfd idle[CROWD];
	int n_open = 0;
	struct reply reply;
	long begin;

	for (int i = 0; i < CROWD; i++)
		idle[i] = (struct pollfd){ .fd = i % 3 ? dial(to) : dial_unix(to), .events = POLLIN };
	begin = now_ms();
	for (int i = 0; i < 20; i++) {
		reply = ask_once(to, "GET /a HTTP/1.1\r\n" HOST "\r\n");
		check(reply.status == 200, "%d", reply.status);
	}
	check(now_ms() - begin < 2000, "20 requests took %ld ms", now_ms() - begin);
	check(poll(idle, CROWD, 0) >= CROWD - WEB_MAX_CONNECTIONS, "the oldest were let go");
	for (int i = 0; i < CROWD; i++)
		n_open += !idle[i].revents;
	check(n_open <= WEB_MAX_CONNECTIONS && n_open > WEB_MAX_CONNECTIONS / 2, "%d idle ones stayed", n_open);
	check(idle[0].revents && !idle[CROWD - 1].revents, "not the oldest went");
	reply = ask(idle[CROWD - 1].fd, "GET /a HTTP/1.1\r\n" HOST "\r\n");
	check(reply.status == 200, "%d", reply.status);
}

Test(web_limits, idle_crowd_blocks_nobody)
{
	bench_run(&bench, crowd_client);
}

static void many_client(const struct bench *to)
{
	int fds[40];
	struct reply reply;

	for (size_t i = 0; i < N(fds); i++)
		fds[i] = dial(to);
	for (size_t i = 0; i < N(fds); i++)
		close(fds[i]);
	reply = ask_once(to, "GET / HTTP/1.1\r\n" HOST "\r\n");
	check(reply.status == 200, "%d", reply.status);
}

static void limit_descriptors(rlim_t n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = n;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* How often the loop wakes up in so many ms. */
static int count_turns(long ms)
{
	struct pollfd ready = { .fd = web_fd(bench.web), .events = POLLIN };
	long end = now_ms() + ms, left;
	int n = 0, timeout;

	for (; (left = end - now_ms()) > 0; n++) {
		timeout = web_timeout_ms(bench.web);
		poll(&ready, 1, timeout < 0 || timeout > left ? (int)left : timeout);
		web_turn(bench.web);
	}
	return n;
}

/* Not one descriptor left: the loop must neither spin nor forget its listeners. */
Test(web_limits, outlives_a_lack_of_descriptors)
{
	int lowest_free = dup(0), n_turns;
	pid_t child = fork();

	if (child == 0) {
		many_client(&bench);
		_exit(0);
	}
	close(lowest_free);
	limit_descriptors((rlim_t)lowest_free);
	n_turns = count_turns(300);
	limit_descriptors(1024);
	cr_expect_lt(n_turns, 20, "%d turns in 300 ms", n_turns);
	cr_expect_eq(bench_serve(&bench, child), 0);
}
