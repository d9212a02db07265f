/* SPDX-License-Identifier: MIT */
/* The sentence of `reqmeter check --pid`. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/check_pid.h"

#define THERE  .pid = 7, .process = 7, .exists = true, .comm = "srv", .sockets_known = true
#define LISTEN .sockets = { .n_listening = 1, .ports = { 80 }, .n_ports = 1 }
#define AGENT  .has_agent = true, .is_whole_node = true, .is_watched = true

static const struct {
	struct check_facts facts;
	const char *verdict, *says;
} cases[] = {
	{ { .pid = 7, .process = 7 }, "no-process", "there is no process 7" },
	{ { THERE, .is_kernel = true, AGENT }, "kernel-thread", "thread of the kernel" },
	{ { .pid = 7, .process = 5, .exists = true, .comm = "srv" }, "thread", "thread of process 5" },
	{ { THERE, .is_zombie = true }, "ended", "has ended" },
	{ { THERE }, "not-listening", "does not listen" },
	{ { THERE, LISTEN }, "no-connection", "TCP port 80, but has no connection" },
	{ { THERE, .sockets = { .n_listening = 1 } }, "no-connection", "a Unix socket" },
	{ { THERE, .sockets = { .n_listening = 1, .n_connected = 2 } }, "no-agent", "no agent is running" },
	{ { THERE, .sockets = { .n_listening = 1, .n_connected = 2 }, .loads_tls = true },
	  "no-agent-tls",
	  "TLS library" },
	{ { THERE, .sockets = { .n_listening = 1, .has_io_uring = true } }, "io_uring", "io_uring" },
	{ { .pid = 7, .process = 7, .exists = true }, "unknown", "ask as root" },
	{ { THERE, AGENT, LISTEN, .n_rows = 12 }, "has-rows", "has rows: 12" },
	{ { THERE, AGENT, .n_rows = 1, .sockets = { .has_io_uring = true } }, "has-rows", "io_uring" },
	{ { THERE, AGENT, LISTEN, .n_rows_below = 3 },
	  "descendants-have-rows",
	  "descendants serve, and have 3" },
	{ { THERE, AGENT, LISTEN, .n_rows = 990, .has_more_rows = true }, "has-rows", "990 or more now" },
	{ { THERE, AGENT, LISTEN, .n_rows_below = 1000, .has_more_rows = true },
	  "descendants-have-rows",
	  "have 1000 or more" },
	{ { THERE, LISTEN, .has_agent = true, .is_whole_node = true }, "exempt", "exempts it from BPF" },
	{ { THERE, LISTEN, .has_agent = true }, "not-watched", "--scope" },
	{ { THERE, AGENT, .is_agent = true, .n_other = 4 }, "agent", "it is the agent" },
	{ { THERE, AGENT, LISTEN, .n_tls = 2 }, "tls", "2 of its connections speak TLS" },
	{ { THERE, AGENT, LISTEN, .n_http2 = 2 }, "http2", "HTTP/2" },
	{ { THERE, AGENT, LISTEN, .n_other = 2 }, "other-protocol", "other than HTTP" },
	{ { THERE, AGENT, LISTEN, .n_http1 = 2 }, "no-request", "HTTP connections" },
	{ { THERE, AGENT }, "not-listening", "does not listen" },
	{ { THERE, AGENT, LISTEN }, "no-connection", "no connection yet" },
	{ { THERE, AGENT, .sockets = { .n_listening = 1, .n_connected = 1 } }, "silent", "carried nothing" },
};

Test(check_pid, verdicts)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char sentence[512] = "";

		cr_expect_str_eq(check_verdict(&cases[i].facts, sentence, sizeof(sentence)), cases[i].verdict,
				 "%zu: %s", i, sentence);
		cr_expect(strstr(sentence, cases[i].says), "%zu: %s", i, sentence);
		cr_expect_not(strchr(sentence, '\n'));
	}
}

/* A long list of ports and a small buffer are cut, not overrun. */
Test(check_pid, sentence_is_bounded)
{
	struct check_facts facts = { THERE, .sockets = { .n_listening = 8, .n_ports = SOCKETS_PORTS_MAX } };
	char sentence[40];

	for (int i = 0; i < SOCKETS_PORTS_MAX; i++)
		facts.sockets.ports[i] = 65535;
	memset(facts.comm, 'x', sizeof(facts.comm) - 1);
	cr_expect_str_eq(check_verdict(&facts, sentence, sizeof(sentence)), "no-connection");
	cr_expect_eq(strlen(sentence), sizeof(sentence) - 1);
}

#define FEATURES                                                                                             \
	"{\"agent\":{\"pid\":9,\"features\":[{\"name\":\"x\"},{\"name\":\"whole-node\",\"state\":\"on\"}]}}"

Test(check_pid, takes_a_report)
{
	struct check_facts facts = { .pid = 7 };

	cr_assert_eq(
	    check_take(
		&facts,
		"{\"requests\":{\"recent\":[{\"pid\":7},{\"pid\":8},{\"pid\":7}],\"active\":[{\"pid\":8}]},"
		"\"processes\":[{\"pid\":8,\"connections\":{\"http1\":9}},"
		"{\"pid\":7,\"connections\":{\"http1\":1,\"http2\":2,\"tls\":3,\"other\":null}}]}",
		FEATURES),
	    0);
	cr_expect(facts.has_agent && facts.is_whole_node && facts.is_watched && !facts.is_agent);
	cr_expect_eq(facts.n_rows, 2);
	cr_expect_eq(facts.n_rows_below, 2);
	cr_expect(facts.n_http1 == 1 && facts.n_http2 == 2 && facts.n_tls == 3 && facts.n_other == 0);
}

Test(check_pid, nothing_in_that_scope)
{
	struct check_facts facts = { .pid = 9 };

	cr_assert_eq(check_take(&facts, NULL, FEATURES), 0);
	cr_expect(facts.has_agent && facts.is_whole_node && facts.is_agent && !facts.is_watched);
}

Test(check_pid, survives_any_json)
{
	static const char *const texts[] = { "", "[]", "5", "{\"requests\":5}",
					     "{\"requests\":{\"recent\":{},\"active\":[1]}}" };
	struct check_facts facts = { .pid = 7 };

	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(check_take(&facts, texts[i], FEATURES), -EINVAL, "%s", texts[i]);
	cr_expect_not(facts.has_agent);
	cr_expect_eq(check_take(&facts, NULL, "{\"agent\":{\"features\":{}}}"), -EINVAL);
	cr_expect_eq(check_take(&facts, texts[4], FEATURES), 0);
	cr_expect_eq(facts.n_rows, 0);
	cr_expect_eq(
	    check_take(
		&facts,
		"{\"requests\":{},\"processes\":[null,{\"pid\":7,\"connections\":[]},{\"pid\":7,"
		"\"connections\":{\"tls\":-5}}]}",
		"{\"agent\":{\"features\":[null,1,{\"name\":5},{\"name\":\"whole-node\",\"state\":7}]}}"),
	    0);
	cr_expect(!facts.is_whole_node && facts.n_tls == 0);
}

Test(check_pid, looks_at_itself)
{
	struct check_facts facts;

	check_look(getpid(), &facts);
	cr_expect(facts.exists && facts.process == getpid() && facts.sockets_known && !facts.is_kernel &&
		  !facts.is_zombie);
	check_look(4194304, &facts);
	cr_expect_not(facts.exists);
}
