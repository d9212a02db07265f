/* SPDX-License-Identifier: MIT */
/* Unix connections of whose end the kernel does not tell: they are looked for, a network namespace at a time. */
#include "model_bench.h"

enum { HERE = 4026531840u, ELSEWHERE = 4026532001u };

/* A request that waits for its server, on a connection of that namespace. */
static struct k_socket *ask(struct bench *b, int i, uint32_t netns)
{
	struct k_socket *s = k_accept(&b->k, i, true);

	s->netns = netns;
	k_read(&b->k, b->t, s, GET("/a"));
	k_run(&b->k, b->t, 10);
	k_wait(&b->k, 5);
	return s;
}

/* A look at one namespace, in which these connections are open. */
static void look_in(struct bench *b, uint32_t netns, uint64_t *open, size_t n)
{
	struct sample sample = k_sample(&b->k);

	sample.open_unix = open;
	sample.n_open_unix = n;
	sample.unix_seen[0] = netns;
	sample.n_unix_seen = 1;
	take_sample(b, &sample);
}

/* Where other sockets come and go, one look may leave out one that stays; two in a row do not. */
Test(model_join_unix, missing_twice_is_closed)
{
	struct bench b;
	struct k_socket *s;

	begin(&b);
	s = ask(&b, 0, HERE);
	look_in(&b, HERE, &s->connection, 1);
	look_in(&b, HERE, NULL, 0);
	cr_expect_eq(b.n_rows, 0);
	look_in(&b, HERE, &s->connection, 1);
	look_in(&b, HERE, NULL, 0);
	cr_expect_eq(b.n_rows, 0);
	look_in(&b, HERE, NULL, 0);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10);
	END(&b, 1);
}

/* What was not looked through proves nothing of what is in it. */
Test(model_join_unix, other_namespaces_do_not_count)
{
	struct bench b;

	begin(&b);
	ask(&b, 0, ELSEWHERE);
	for (int i = 0; i < 4; i++)
		look_in(&b, HERE, NULL, 0);
	cr_expect_eq(b.n_rows, 0);
	look_in(&b, ELSEWHERE, NULL, 0);
	look_in(&b, HERE, NULL, 0);
	look_in(&b, ELSEWHERE, NULL, 0);
	cr_expect_eq(b.n_rows, 1);
	END(&b, 1);
}

/* A look at all of them at once. */
Test(model_join_unix, all_namespaces)
{
	struct sample sample;
	struct bench b;

	begin(&b);
	ask(&b, 0, HERE);
	ask(&b, 1, ELSEWHERE);
	for (int i = 0; i < 2; i++) {
		sample = k_sample(&b.k);
		sample.has_open_unix = true;
		take_sample(&b, &sample);
	}
	cr_expect_eq(b.n_rows, 2);
	END(&b, 2);
}

/*
 * Which are to be looked through: those of requests in flight on Unix sockets, each once, and no more than there is
 * room.
 */
Test(model_join_unix, where_to_look)
{
	struct unix_namespace where[4];
	struct bench b;

	begin(&b);
	cr_expect_eq(join_unix_namespaces(b.join, where, 4), 0);
	k_read(&b.k, b.t, b.s, GET("/tcp"));
	cr_expect_eq(join_unix_namespaces(b.join, where, 4), 0);
	k_write(&b.k, b.t, b.s, OK5);
	ask(&b, 1, HERE);
	ask(&b, 2, ELSEWHERE);
	ask(&b, 3, HERE);
	cr_assert_eq(join_unix_namespaces(b.join, where, 4), 2);
	cr_expect_eq(where[0].netns, HERE);
	cr_expect_eq(where[1].netns, ELSEWHERE);
	cr_expect_eq(where[0].pid, 100);
	cr_expect_eq(join_unix_namespaces(b.join, where, 1), 1);
	for (int i = 0; i < 2; i++) {
		look_in(&b, HERE, NULL, 0);
		look_in(&b, ELSEWHERE, NULL, 0);
	}
	cr_expect_eq(join_unix_namespaces(b.join, where, 4), 0);
	END(&b, 4);
}
