/* SPDX-License-Identifier: MIT */
/* What clients have seen: each counts from its own last read, against a model that remembers every request. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drum/clients.h"
#include "drum/prediction.h"
#include "model/request.h"

/* Scopes of the tests: kind 0 everything, 1 a pid, 2 a cgroup id written as text. */
static bool holds(void *context, const struct client_scope *scope, const struct served_by *by)
{
	(void)context;
	if (scope->kind == 1)
		return by->pid == scope->pid;
	return scope->kind == 0 || by->cgroup_id == strtoull(scope->text, NULL, 10);
}

static const struct client_scope everything = { 0, 0, "" };

static struct client_scope pid_scope(uint32_t pid)
{
	return (struct client_scope){ 1, pid, "" };
}

static void end_request(struct clients *c, const struct request *r)
{
	struct served_by by = { .pid = r->server.pid, .cgroup_id = r->server.cgroup_id, .comm = "server" };

	clients_ended(c, &by, request_served_ns(r),
		      prediction_path(r->identity.path ? r->identity.path : r->identity.route));
}

static void end(struct clients *c, uint32_t pid, uint64_t cgroup_id, uint64_t duration_ns, const char *path)
{
	struct request r = {
		.server.pid = pid, .server.cgroup_id = cgroup_id, .server.comm = "server", .identity.path = (char *)path
	};

	r.start_ns = 1000;
	r.last_send_ns = 1000 + duration_ns;
	r.end_ns = r.last_send_ns + 77; /* the end of attribution is not what it lasted */
	end_request(c, &r);
}

static void end_sent(struct clients *c, uint64_t handled_ns, const char *path, const char *route)
{
	struct request r = { .server.pid = 1,
			     .server.comm = "server",
			     .identity.path = (char *)path,
			     .identity.route = (char *)route,
			     .sdk.reported = true };

	r.start_ns = 1000;
	r.last_send_ns = r.end_ns = 1000 + 2 * handled_ns;
	r.sdk.handled_ns = handled_ns;
	end_request(c, &r);
}

static struct time_sums read_times(struct clients *c, const char *name, const struct client_scope *scope)
{
	struct client *one;
	struct time_sums sums;

	clients_settle(c, holds, NULL, NULL);
	one = clients_find(c, name, scope);
	cr_assert(one);
	sums = clients_since(c, one, holds, NULL);
	clients_times_read(c, one);
	return sums;
}

static void expect(const struct time_sum *sum, uint64_t count, uint64_t total, uint64_t min, uint64_t max)
{
	cr_expect_eq(sum->count, count, "%lu", sum->count);
	cr_expect_eq(sum->total_ns, total);
	if (count) {
		cr_expect_eq(sum->min_ns, min, "min %lu", sum->min_ns);
		cr_expect_eq(sum->max_ns, max, "max %lu", sum->max_ns);
	}
}

Test(drum_clients, a_first_read_counts_from_the_beginning)
{
	struct time_sums sums;
	struct clients *c;

	cr_assert_eq(clients_new(&c), 0);
	end(c, 1, 5, 300, "/predict/");
	end(c, 1, 5, 100, "/other");
	sums = read_times(c, "a", &everything);
	expect(&sums.all, 2, 400, 100, 300);
	expect(&sums.predictions, 1, 300, 300, 300);
	sums = read_times(c, "a", &everything);
	expect(&sums.all, 0, 0, 0, 0);
	/* Somebody else's first read, after the first one's second. */
	end(c, 1, 5, 50, "/predict");
	sums = read_times(c, "b", &everything);
	expect(&sums.all, 3, 450, 50, 300);
	sums = read_times(c, "a", &everything);
	expect(&sums.all, 1, 50, 50, 50);
	clients_free(c);
}

Test(drum_clients, one_that_looks_without_reading_moves_nobody)
{
	struct clients *c;
	struct client *one;
	struct time_sums sums;

	cr_assert_eq(clients_new(&c), 0);
	read_times(c, "a", &everything);
	end(c, 1, 5, 10, NULL);
	clients_settle(c, holds, NULL, NULL);
	one = clients_find(c, "a", &everything);
	for (int i = 0; i < 3; i++) {
		sums = clients_since(c, one, holds, NULL);
		expect(&sums.all, 1, 10, 10, 10);
	}
	sums = read_times(c, "a", &everything);
	expect(&sums.all, 1, 10, 10, 10);
	clients_free(c);
}

Test(drum_clients, scopes_are_apart)
{
	const struct client_scope one = pid_scope(1), two = pid_scope(2), cgroup = { 2, 0, "5" };
	struct clients *c;
	struct time_sums sums;

	cr_assert_eq(clients_new(&c), 0);
	read_times(c, "a", &one);
	read_times(c, "a", &two);
	end(c, 1, 5, 10, "/x");
	end(c, 2, 5, 20, "/x");
	end(c, 3, 6, 40, "/x");
	sums = read_times(c, "a", &one);
	expect(&sums.all, 1, 10, 10, 10);
	sums = read_times(c, "a", &two);
	expect(&sums.all, 1, 20, 20, 20);
	sums = read_times(c, "a", &cgroup);
	expect(&sums.all, 2, 30, 10, 20);
	cr_expect_eq(clients_n(c), 3);
	clients_free(c);
}

static bool knows_cgroup(void *context, const struct served_by *by)
{
	return by->cgroup_id < *(uint64_t *)context;
}

/* Where a process is may not be known yet: its sums wait, and nobody has them twice. */
Test(drum_clients, what_is_not_known_yet_waits)
{
	uint64_t known = 6;
	struct clients *c;
	struct time_sums sums;
	struct client *one;

	cr_assert_eq(clients_new(&c), 0);
	read_times(c, "a", &everything);
	end(c, 1, 5, 10, NULL);
	end(c, 1, 6, 20, NULL);
	clients_settle(c, holds, knows_cgroup, &known);
	one = clients_find(c, "a", &everything);
	sums = clients_since(c, one, holds, NULL);
	expect(&sums.all, 1, 10, 10, 10);
	clients_times_read(c, one);
	sums = clients_since(c, clients_find(c, "b", &everything), holds, NULL);
	expect(&sums.all, 1, 10, 10, 10);
	end(c, 1, 6, 30, NULL);
	known = 7;
	clients_settle(c, holds, knows_cgroup, &known);
	sums = clients_since(c, clients_find(c, "a", &everything), holds, NULL);
	expect(&sums.all, 2, 50, 20, 30);
	sums = read_times(c, "b", &everything);
	expect(&sums.all, 3, 60, 10, 30);
	clients_free(c);
}

/* --- against a model that keeps every request --- */

enum { STEPS = 20000, NAMES = 6, PIDS = 4, SEED = 7 };

struct sdk_sample {
	uint32_t pid;
	uint64_t duration_ns;
	bool prediction;
};

static struct time_sums recount(const struct sdk_sample *told, size_t from, size_t to, const struct client_scope *scope)
{
	struct time_sums sums = TIME_SUMS_NONE;

	for (size_t i = from; i < to; i++)
		if (scope->kind == 0 || told[i].pid == scope->pid)
			time_sums_add(&sums, told[i].duration_ns, told[i].prediction);
	return sums;
}

Test(drum_clients, like_a_recount_of_everything)
{
	struct sdk_sample *told = calloc(STEPS, sizeof(*told));
	size_t n = 0, seen[NAMES][PIDS + 1] = { 0 };
	struct clients *c;

	srandom(SEED);
	cr_assert_eq(clients_new(&c), 0);
	for (int i = 0; i < STEPS; i++) {
		int name = (int)(random() % NAMES), which = (int)(random() % (PIDS + 1));
		struct client_scope scope = which ? pid_scope((uint32_t)which) : everything;
		struct time_sums found, wanted;
		char text[8];

		if (random() % 10) {
			struct sdk_sample *t = &told[n++];

			*t = (struct sdk_sample){ (uint32_t)(random() % PIDS + 1), (uint64_t)random() % 1000000,
						  random() % 2 };
			end(c, t->pid, 9, t->duration_ns, t->prediction ? "/p/chat/completions" : "/completions");
			continue;
		}
		snprintf(text, sizeof(text), "n%d", name);
		found = read_times(c, text, &scope);
		wanted = recount(told, seen[name][which], n, &scope);
		cr_assert_eq(memcmp(&found, &wanted, sizeof(found)), 0, "step %d", i);
		seen[name][which] = n;
	}
	clients_free(c);
	free(told);
}

/* --- bounds --- */

Test(drum_clients, the_least_recent_goes)
{
	struct clients *c;
	struct time_sums sums;
	char name[16];

	cr_assert_eq(clients_new(&c), 0);
	read_times(c, "first", &everything);
	read_times(c, "second", &everything);
	for (int i = 0; i < CLIENTS_MAX - 2; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		read_times(c, name, &everything);
	}
	end(c, 1, 5, 10, NULL);
	sums = read_times(c, "first", &everything);
	expect(&sums.all, 1, 10, 10, 10);
	end(c, 1, 5, 20, NULL);
	read_times(c, "one more", &everything); /* "second" has to go */
	cr_expect_eq(clients_n(c), CLIENTS_MAX);
	sums = read_times(c, "first", &everything);
	expect(&sums.all, 1, 20, 20, 20);
	sums = read_times(c, "c0", &everything); /* "c0" was the next, but the newcomer took one only */
	expect(&sums.all, 2, 30, 10, 20);
	sums = read_times(c, "c5", &everything);
	expect(&sums.all, 2, 30, 10, 20);
	clients_free(c);
}

/* The one that goes held what others need. */
Test(drum_clients, who_goes_takes_nothing_along)
{
	struct client_scope other = pid_scope(1);
	struct clients *c;
	struct time_sums sums;
	char name[16];

	cr_assert_eq(clients_new(&c), 0);
	read_times(c, "keeps", &everything);
	end(c, 1, 5, 10, NULL);
	read_times(c, "goes", &everything);
	end(c, 1, 5, 30, NULL);
	clients_settle(c, holds, NULL, NULL);  /* lies with "goes" now */
	clients_find(c, "keeps", &everything); /* used, not read */
	for (int i = 0; i < CLIENTS_MAX - 1; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		read_times(c, name, &other);
	}
	sums = read_times(c, "keeps", &everything);
	expect(&sums.all, 2, 40, 10, 30);
	clients_free(c);
}

/* Thousands of processes that served one request each: those of long ago still count in their cgroup, once. */
Test(drum_clients, processes_of_long_ago_count_by_cgroup)
{
	enum { N = 3 * SERVED_MAX };
	const struct client_scope cgroup = { 2, 0, "5" }, late = { 2, 0, "5" }, old = pid_scope(10),
				  young = pid_scope(N + 9);
	struct clients *c;
	struct time_sums sums;

	cr_assert_eq(clients_new(&c), 0);
	read_times(c, "early", &cgroup);
	for (uint32_t i = 0; i < N; i++)
		end(c, 10 + i, i % 2 ? 5 : 6, i + 1, "/x");
	sums = read_times(c, "early", &cgroup);
	expect(&sums.all, N / 2, (uint64_t)N / 2 * (N / 2 + 1), 2, N);
	sums = read_times(c, "late", &late);
	expect(&sums.all, N / 2, (uint64_t)N / 2 * (N / 2 + 1), 2, N);
	sums = read_times(c, "late", &old);
	expect(&sums.all, 0, 0, 0, 0);
	sums = read_times(c, "late", &young);
	expect(&sums.all, 1, N, N, N);
	clients_free(c);
}

/* As many cgroups as processes. */
Test(drum_clients, cgroups_of_long_ago_count_in_everything)
{
	enum { N = 2 * SERVED_MAX };
	struct clients *c;
	struct time_sums sums;

	cr_assert_eq(clients_new(&c), 0);
	for (uint32_t i = 0; i < N; i++)
		end(c, 10 + i, 100 + i, i + 1, "/x");
	sums = read_times(c, "a", &everything);
	expect(&sums.all, N, (uint64_t)N / 2 * (N + 1), 1, N);
	clients_free(c);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* 256 clients with scopes of their own read once a second while 10,000 requests a second end: a fraction of a core. */
Test(drum_clients, ends_are_cheap_with_many_clients)
{
	enum { ENDS = 100000, PER_READ = 10000 };
	struct clients *c;
	double before;
	char name[16];

	cr_assert_eq(clients_new(&c), 0);
	before = seconds();
	for (int i = 0; i < ENDS; i++) {
		if (i % PER_READ == 0)
			for (uint32_t k = 0; k < CLIENTS_MAX; k++) {
				struct client_scope scope = pid_scope(k % 100);

				snprintf(name, sizeof(name), "c%u", k);
				read_times(c, name, &scope);
			}
		end(c, (uint32_t)(i % 100), 5, 1000, "/v1/chat/completions");
	}
	before = seconds() - before;
	fprintf(stderr, "clients: %.0f ns an end, with %d clients that read every %d ends\n", before / ENDS * 1e9,
		CLIENTS_MAX, PER_READ);
	cr_expect_lt(before, 10.0, "ten seconds of load took %.1f s", before);
	clients_free(c);
}

/* --- CPU --- */

Test(drum_clients, cpu_of_processes)
{
	struct client_cpu *list = calloc(3, sizeof(*list));
	struct clients *c;
	struct client *one;

	cr_assert_eq(clients_new(&c), 0);
	one = clients_find(c, "a", &everything);
	cr_expect_eq(client_cpu_time_ns(one), 0);
	cr_expect_null(client_cpu(one, 3, 30));
	list[0] = (struct client_cpu){ .pid = 7, .leader_start_boot_ns = 70, .cpu_ns = 700 };
	list[1] = (struct client_cpu){ .pid = 3, .leader_start_boot_ns = 31, .cpu_ns = 310 };
	list[2] = (struct client_cpu){ .pid = 3, .leader_start_boot_ns = 30, .cpu_ns = 300 };
	client_cpu_read(one, 99, list, 3);
	cr_expect_eq(client_cpu_time_ns(one), 99);
	cr_expect_eq(client_cpu(one, 3, 30)->cpu_ns, 300);
	cr_expect_eq(client_cpu(one, 3, 31)->cpu_ns, 310, "a pid that was used again");
	cr_expect_eq(client_cpu(one, 7, 70)->cpu_ns, 700);
	cr_expect_null(client_cpu(one, 7, 71));
	client_cpu_read(one, 100, NULL, 0);
	cr_expect_null(client_cpu(one, 7, 70));
	clients_free(c);
}

/* --- routes --- */

Test(drum_clients, prediction_paths)
{
	static const struct {
		const char *path;
		bool is;
	} cases[] = {
		{ "/predict", true },
		{ "/predict/", true },
		{ "//predict//", true },
		{ "/predictions/", true },
		{ "/predictUnstructured/", true },
		{ "/predictionsUnstructured", true },
		{ "/transform/", true },
		{ "/invocations", true },
		{ "/chat/completions", true },
		{ "/chat//completions/", true },
		{ "/v1/chat/completions", true },
		{ "/a/b/c/predict/", true },
		{ "/models", true },
		{ "/v1/models/", true },
		{ "predict", true },
		{ NULL, false },
		{ "", false },
		{ "/", false },
		{ "///", false },
		{ "/completions", false },
		{ "/v1/completions/", false },
		{ "/chat/completions/x", false },
		{ "/predict/x", false },
		{ "/xpredict", false },
		{ "/predictx", false },
		{ "/Predict/", false },
		{ "/predictUnstructured2", false },
		{ "/models/gpt", false },
		{ "/stats/", false },
		{ "/achat/completions", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_eq(prediction_path(cases[i].path), cases[i].is, "%s", cases[i].path ? cases[i].path : "NULL");
}

Test(drum_clients, programs_say_how_long_they_took)
{
	struct clients *c;
	struct time_sums sums;

	cr_assert_eq(clients_new(&c), 0);
	end_sent(c, 500, "/predict/", "/predict/");
	end_sent(c, 300, NULL, "/v1/chat/completions"); /* seen at no socket */
	end_sent(c, 100, "/other", "/predict/");        /* what was asked for goes before what it is called */
	sums = read_times(c, "one", &everything);
	expect(&sums.all, 3, 900, 100, 500);
	expect(&sums.predictions, 2, 800, 300, 500);
	clients_free(c);
}

/* Above the row limit: sums by process, with bounds that may come a look late. */
Test(drum_clients, what_nobody_saw_counts_too)
{
	struct rate_limited u = {
		.pid = 1, .count = 3, .total_ns = 900, .min_ns = 200, .max_ns = 500, .comm = "server"
	};
	struct client_scope one = pid_scope(1), two = pid_scope(2);
	struct clients *c;
	struct time_sums sums;

	cr_assert_eq(clients_new(&c), 0);
	end(c, 1, 0, 100, "/predict");
	clients_add_rate_limited(c, &u);
	sums = read_times(c, "a", &one);
	expect(&sums.all, 4, 1000, 100, 500);
	expect(&sums.predictions, 1, 100, 100, 100);
	sums = read_times(c, "a", &two);
	expect(&sums.all, 0, 0, 0, 0);

	u = (struct rate_limited){ .pid = 1, .total_ns = 50, .max_ns = 700, .comm = "server" };
	clients_add_rate_limited(c, &u);
	u = (struct rate_limited){ .pid = 1, .count = 1, .total_ns = 80, .comm = "server" };
	clients_add_rate_limited(c, &u);
	sums = read_times(c, "a", &one);
	expect(&sums.all, 1, 130, 80, 700);
	clients_free(c);
}
