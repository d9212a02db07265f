/* SPDX-License-Identifier: MIT */
/*
 * Processes that exit of their own will or are killed, connections that are closed without an answer: outcomes and
 * errors.
 */
#include "model_bench.h"

#include "model/measure.h"

#define UNTIL_CLOSE "HTTP/1.0 200 OK\r\n\r\nhello"
#define SHORT       "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhalf"
#define CHUNKS      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"

static void one_row(const struct bench *b, enum outcome outcome, bool error, const char *what)
{
	cr_assert_eq(b->n_rows, 1, "%s: %zu rows", what, b->n_rows);
	cr_expect_eq(b->rows[0]->outcome, outcome, "%s: %s", what, request_outcome_name(b->rows[0]->outcome));
	cr_expect_eq(request_is_error(b->rows[0]), error, "%s", what);
	cr_expect_eq(request_failed(b->rows[0]), error || outcome == OUTCOME_CLIENT_GONE, "%s", what);
}

/* A process for each connection, as under inetd: answers (or not) and ends, which closes the socket. */
static void ends(const char *response, uint32_t why, bool is_unix, enum outcome outcome)
{
	struct bench b;

	begin(&b);
	b.s = k_accept(&b.k, 0, is_unix);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	if (*response)
		k_write(&b.k, b.t, b.s, response);
	k_run(&b.k, b.t, 3);
	k_exit_by(&b.k, b.u, why);
	k_exit_by(&b.k, b.t, why);
	k_close_by(&b.k, b.t, b.s, why);
	one_row(&b, outcome, outcome == OUTCOME_PROCESS_DIED, response);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 13, "%s", response);
	END(&b, 1);
}

Test(model_join_exit, exits)
{
	for (int is_unix = 0; is_unix < 2; is_unix++) {
		ends(UNTIL_CLOSE, RECORD_EXITED, is_unix, OUTCOME_COMPLETED);
		ends(OK5, RECORD_EXITED, is_unix, OUTCOME_COMPLETED);
		ends(SHORT, RECORD_EXITED, is_unix, OUTCOME_PROCESS_DIED);
		ends(CHUNKS, RECORD_EXITED, is_unix, OUTCOME_PROCESS_DIED);
		ends(CHUNKS "0\r\n\r\n", RECORD_EXITED, is_unix, OUTCOME_COMPLETED);
		ends("", RECORD_EXITED, is_unix, OUTCOME_PROCESS_DIED);
		ends(CONTINUE, RECORD_EXITED, is_unix, OUTCOME_PROCESS_DIED);
		ends(UNTIL_CLOSE, RECORD_KILLED, is_unix, OUTCOME_PROCESS_DIED);
		ends(OK5, RECORD_KILLED, is_unix, OUTCOME_COMPLETED);
		ends("", RECORD_KILLED, is_unix, OUTCOME_PROCESS_DIED);
	}
}

/* The client reset the connection, then its process exits: that is no crash. Killed is killed. */
Test(model_join_exit, exits_after_a_reset)
{
	for (int killed = 0; killed < 2; killed++) {
		uint32_t why = killed ? RECORD_KILLED : RECORD_EXITED;
		struct bench b;

		begin(&b);
		k_read(&b.k, b.t, b.s, GET("/a"));
		k_close(&b.k, NULL, b.s, false);
		k_run(&b.k, b.t, 10);
		k_exit_by(&b.k, b.u, why);
		k_exit_by(&b.k, b.t, why);
		one_row(&b, killed ? OUTCOME_PROCESS_DIED : OUTCOME_CLIENT_GONE, killed, killed ? "killed" : "exited");
		END(&b, 1);
	}
}

/* A script's child writes the body and exits; the script itself has more to say. */
Test(model_join_exit, child_writes_and_exits)
{
	struct k_thread *child;
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.0 200 OK\r\n\r\n");
	child = k_thread(&b.k, 3, 300, 300);
	k_block(&b.k, b.t);
	k_write(&b.k, child, b.s, "from cat");
	k_run(&b.k, child, 5);
	k_exit_by(&b.k, child, RECORD_EXITED);
	look(&b);
	cr_expect_eq(b.n_rows, 0);
	k_write(&b.k, b.t, b.s, "the end");
	k_exit_by(&b.k, b.u, RECORD_EXITED);
	k_exit_by(&b.k, b.t, RECORD_EXITED);
	k_close_by(&b.k, b.t, b.s, RECORD_EXITED);
	one_row(&b, OUTCOME_COMPLETED, false, "script");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 15, "%lu", (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from,
		     LEN("HTTP/1.0 200 OK\r\n\r\nfrom catthe end"));
	END(&b, 1);
}

/* Parked when its process exits: the close is the end. */
Test(model_join_exit, exits_while_parked)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_read(&b.k, b.t, other, GET("/b"));
	k_write(&b.k, b.t, other, OK5);
	k_exit_by(&b.k, b.u, RECORD_EXITED);
	k_exit_by(&b.k, b.t, RECORD_EXITED);
	k_close_by(&b.k, b.t, b.s, RECORD_EXITED);
	k_close_by(&b.k, b.t, other, RECORD_EXITED);
	cr_assert_eq(b.n_rows, 2);
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(b.rows[i]->outcome,
			     strcmp(b.rows[i]->identity.path, "/a") ? OUTCOME_COMPLETED : OUTCOME_PROCESS_DIED);
	END(&b, 2);
}

/*
 * A living server closes without an answer: an error, unless the client went first. Bytes that were not looked at are
 * one.
 */
Test(model_join_exit, closed_without_an_answer)
{
	for (int how = 0; how < 4; how++) {
		struct bench b;

		begin(&b);
		k_read(&b.k, b.t, b.s, GET("/a"));
		k_run(&b.k, b.t, 10);
		if (how == 1)
			k_read_nothing(&b.k, b.t, b.s, true);
		else if (how == 2)
			k_sendfile(&b.k, b.t, b.s, 500);
		else if (how == 3)
			k_write(&b.k, b.t, b.s, CONTINUE);
		k_close(&b.k, b.t, b.s, false);
		one_row(&b,
			how == 1               ? OUTCOME_CLIENT_GONE
			: how == 0 || how == 3 ? OUTCOME_UNANSWERED
					       : OUTCOME_COMPLETED,
			how == 0 || how == 3, how ? "other" : "plain");
		END(&b, 1);
	}
}

/* What only its program tells has no status where the program says none: that is no error. */
Test(model_join_exit, told_without_a_status)
{
	struct request r = { .sdk.reported = true, .outcome = OUTCOME_COMPLETED };

	cr_expect_not(request_is_error(&r));
	r.outcome = OUTCOME_PROCESS_DIED;
	cr_expect(request_is_error(&r));
}
