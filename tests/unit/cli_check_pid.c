/* SPDX-License-Identifier: MIT */
/* The sentence of `reqmeter check --pid`. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/check_pid.h"

#define THERE  .pid = 7, .process = 7, .exists = true, .comm = "srv"
#define LISTEN .sockets = { .n_listening = 1, .ports = { 80 }, .n_ports = 1 }
#define NODE   .has_agent = true, .is_whole_node = true, .measures_requests = true
#define AGENT  NODE, .is_watched = true
#define BUSY   .sockets = { .n_listening = 1, .n_connected = 2, .ports = { 80 }, .n_ports = 1 }

static const struct {
	struct check_evidence facts;
	const char *verdict, *says;
} cases[] = {
	{ { .pid = 7, .process = 7 }, "no-process", "there is no process 7" },
	{ { .pid = 7, .process = 7, .is_hidden = true }, "unknown", "does not show this process" },
	{ { THERE, .is_kernel = true, AGENT }, "kernel-thread", "thread of the kernel" },
	{ { .pid = 7, .process = 5, .exists = true, .comm = "srv" }, "thread", "thread of process 5" },
	{ { THERE, .is_zombie = true }, "ended", "has ended" },
	{ { THERE }, "not-listening", "does not listen" },
	{ { THERE }, "not-listening", "no agent could be asked" },
	{ { THERE, LISTEN }, "no-connection", "TCP port 80, but has no connection now" },
	{ { THERE, .sockets = { .n_listening = 1 } }, "no-connection", "listens on a Unix socket" },
	{ { THERE, BUSY }, "no-agent", "no agent could be asked" },
	{ { THERE, BUSY }, "no-agent", "may have some" },
	{ { THERE, BUSY, .loads_tls = true }, "no-agent-tls", "those of its connections that speak TLS" },
	{ { THERE, .sockets = { .n_listening = 1, .has_io_uring = true } }, "io_uring", "reads through that" },
	{ { THERE, .sockets = { .n_connected = 1, .has_io_uring = true } },
	  "io_uring",
	  "it has connections of a Unix socket" },
	{ { THERE, .sockets_error = -EACCES }, "unknown", "ask as root" },
	{ { THERE, AGENT, .sockets_error = -ENOMEM }, "unknown", "Cannot allocate memory" },
	{ { THERE, AGENT, LISTEN, .n_rows = 12 }, "has-rows", "has rows: 12" },
	{ { THERE, AGENT, .n_rows = 1, .sockets = { .has_io_uring = true } }, "has-rows", "holds an io_uring" },
	{ { THERE, AGENT, LISTEN, .n_rows_below = 3 },
	  "descendants-have-rows",
	  "has no rows itself: its descendants serve, and have 3" },
	{ { THERE, AGENT, LISTEN, .n_rows = 990, .has_more_rows = true }, "has-rows", "990 or more now" },
	{ { THERE, AGENT, LISTEN, .n_rows_below = 1000, .has_more_rows = true },
	  "descendants-have-rows",
	  "have 1000 rows or more; none of the newest is its own" },
	/* Rows are shown whatever else is said to have failed. */
	{ { THERE, LISTEN, .has_agent = true, .n_rows = 2 }, "has-rows", "has rows: 2" },
	{ { THERE, LISTEN, NODE }, "not-seen", "may exempt it from BPF" },
	{ { THERE, LISTEN, NODE, .failed = "threads, snapshot" },
	  "not-seen",
	  "these of its features have failed: threads, snapshot; or" },
	{ { THERE, LISTEN, NODE, .is_new = true }, "new", "has just begun" },
	{ { THERE, AGENT, LISTEN, .is_new = true }, "no-connection", "no connection now" },
	{ { THERE, BUSY, .has_agent = true, .is_whole_node = true, .is_watched = true, .requests_reason = "no hooks" },
	  "no-requests",
	  "measures no requests here: no hooks" },
	{ { THERE, BUSY, .has_agent = true, .is_whole_node = true }, "no-requests", "does not say why" },
	{ { THERE, LISTEN, .has_agent = true, .measures_requests = true }, "not-watched", "--scope" },
	{ { THERE, LISTEN, .has_agent = true, .measures_requests = true, .is_new = true }, "not-watched", "--scope" },
	{ { THERE, AGENT, .is_agent = true, .n_other = 4 }, "agent", "it is the agent" },
	/* Whose numbers mean others: not even rows under this one are its. */
	{ { THERE, AGENT, LISTEN, .n_rows = 12, .has_other_pids = true },
	  "other-pids",
	  "nothing is known of its rows: the agent" },
	{ { THERE, AGENT, .is_agent = true, .is_other_namespace = true },
	  "other-pids",
	  "this command runs in a PID namespace" },
	{ { THERE, AGENT, LISTEN, .n_rows = 12, .is_other_machine = true }, "other-machine", "not of this machine" },
	{ { THERE, LISTEN, .is_other_namespace = true }, "no-connection", "no connection now" },
	{ { THERE, AGENT, LISTEN, .n_tls = 2 }, "tls", "of the connections that the agent saw, 2 spoke TLS" },
	{ { THERE, AGENT, LISTEN, .n_http2 = 2 }, "http2", "2 spoke HTTP/2" },
	{ { THERE, AGENT, LISTEN, .n_other = 2 }, "other-protocol", "other than HTTP" },
	{ { THERE, AGENT, LISTEN, .n_http1 = 2 }, "no-request", "of whose requests no row is kept" },
	{ { THERE, AGENT, LISTEN, .n_tls = 1, .n_http1 = 3 }, "tls", "; 3 spoke HTTP/1" },
	{ { THERE, AGENT }, "not-listening", "does not listen" },
	{ { THERE, AGENT, LISTEN }, "no-connection", "no connection now" },
	{ { THERE, AGENT, BUSY }, "silent", "has seen no data on its connections" },
	{ { THERE, AGENT, BUSY, .older_reason = "grant CAP_SYS_PTRACE" }, "silent", "; grant CAP_SYS_PTRACE" },
};

Test(cli_check_pid, verdicts)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char sentence[CHECK_SENTENCE_BYTES] = "";

		cr_expect_str_eq(check_verdict(&cases[i].facts, sentence, sizeof(sentence)), cases[i].verdict,
				 "%zu: %s", i, sentence);
		cr_expect(strstr(sentence, cases[i].says), "%zu: %s", i, sentence);
		cr_expect_not(strchr(sentence, '\n'));
	}
}

/* A long list of ports and a small buffer are cut, not overrun. */
Test(cli_check_pid, sentence_is_bounded)
{
	struct check_evidence facts = { THERE, .sockets = { .n_listening = 8, .n_ports = SOCKETS_PORTS_MAX } };
	char sentence[40];

	for (int i = 0; i < SOCKETS_PORTS_MAX; i++)
		facts.sockets.ports[i] = 65535;
	memset(facts.comm, 'x', sizeof(facts.comm) - 1);
	cr_expect_str_eq(check_verdict(&facts, sentence, sizeof(sentence)), "no-connection");
	cr_expect_eq(strlen(sentence), sizeof(sentence) - 1);
}

#define FEATURES "{\"agent\":{\"pid\":9,\"features\":[{\"name\":\"x\"},{\"name\":\"whole-node\",\"state\":\"on\"}]}}"

Test(cli_check_pid, takes_a_report)
{
	struct check_evidence facts = { .pid = 7 };

	cr_assert_eq(
		check_take(&facts,
			   "{\"requests\":{\"recent\":[{\"pid\":7},{\"pid\":8},{\"pid\":7}],\"active\":[{\"pid\":8}]},"
			   "\"processes\":[{\"pid\":8,\"connections\":{\"http1\":9}},"
			   "{\"pid\":7,\"connections\":{\"http1\":1,\"http2\":2,\"tls\":3,\"other\":null}}]}",
			   FEATURES),
		0);
	cr_expect(facts.has_agent && facts.is_whole_node && facts.is_watched && !facts.is_agent &&
		  !facts.measures_requests);
	cr_expect_eq(facts.n_rows, 2);
	cr_expect_eq(facts.n_rows_below, 2);
	cr_expect(facts.n_http1 == 1 && facts.n_http2 == 2 && facts.n_tls == 3 && facts.n_other == 0);
}

Test(cli_check_pid, nothing_in_that_scope)
{
	struct check_evidence facts = { .pid = 9 };

	cr_assert_eq(check_take(&facts, NULL, FEATURES), 0);
	cr_expect(facts.has_agent && facts.is_whole_node && facts.is_agent && !facts.is_watched);
}

/* What failed is named, and what it means for pids and requests is known. */
Test(cli_check_pid, takes_features)
{
	struct check_evidence facts = { .pid = 7, .boot_id = "here" };

	cr_assert_eq(check_take(&facts, NULL,
				"{\"host\":{\"boot_id\":\"there\"},\"agent\":{\"pid\":9,\"features\":["
				"{\"name\":\"requests\",\"state\":\"off\",\"reason\":\"no hooks\"},"
				"{\"name\":\"pid-namespace\",\"state\":\"failed\",\"reason\":\"r\"},"
				"{\"name\":\"older-connections\",\"state\":\"failed\",\"reason\":\"grant it\"}]}}"),
		     0);
	cr_expect(!facts.measures_requests && facts.has_other_pids && facts.is_other_machine);
	cr_expect_str_eq(facts.requests_reason, "no hooks");
	cr_expect_str_eq(facts.older_reason, "grant it");
	cr_expect_str_eq(facts.failed, "pid-namespace, older-connections");
}

Test(cli_check_pid, takes_good_features)
{
	struct check_evidence facts = { .pid = 7, .boot_id = "here" };

	cr_assert_eq(
		check_take(&facts, NULL,
			   "{\"host\":{\"boot_id\":\"here\"},\"agent\":{\"features\":["
			   "{\"name\":\"requests\",\"state\":\"on\"},{\"name\":\"pid-namespace\",\"state\":\"on\"},"
			   "{\"name\":\"older-connections\",\"state\":\"on\",\"reason\":\"all\"}]}}"),
		0);
	cr_expect(facts.measures_requests && !facts.has_other_pids && !facts.is_other_machine);
	cr_expect(!*facts.older_reason && !*facts.failed);
}

/* More failed than there is room for. */
Test(cli_check_pid, many_failed)
{
	static char text[20000] = "{\"agent\":{\"features\":[null";
	struct check_evidence facts = { .pid = 7 };

	for (int i = 0; i < 200; i++)
		strcat(text, ",{\"name\":\"a-feature\",\"state\":\"failed\",\"reason\":\"\"}");
	strcat(text, "]}}");
	cr_assert_eq(check_take(&facts, NULL, text), 0);
	cr_expect_eq(strlen(facts.failed), CHECK_REASON_BYTES - 1);
}

Test(cli_check_pid, survives_any_json)
{
	static const char *const texts[] = { "", "[]", "5", "{\"requests\":5}",
					     "{\"requests\":{\"recent\":{},\"active\":[1]}}" };
	struct check_evidence facts = { .pid = 7 };

	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(check_take(&facts, texts[i], FEATURES), -EINVAL, "%s", texts[i]);
	cr_expect_not(facts.has_agent);
	cr_expect_eq(check_take(&facts, NULL, "{\"agent\":{\"features\":{}}}"), -EINVAL);
	cr_expect_eq(check_take(&facts, texts[4], FEATURES), 0);
	cr_expect_eq(facts.n_rows, 0);
	cr_expect_eq(
		check_take(&facts,
			   "{\"requests\":{},\"processes\":[null,{\"pid\":7,\"connections\":[]},{\"pid\":7,"
			   "\"connections\":{\"tls\":-5}}]}",
			   "{\"agent\":{\"features\":[null,1,{\"name\":5},{\"name\":\"whole-node\",\"state\":7}]}}"),
		0);
	cr_expect(!facts.is_whole_node && facts.n_tls == 0);
}

Test(cli_check_pid, looks_at_itself)
{
	struct check_evidence facts;

	check_look(getpid(), &facts);
	cr_expect(facts.exists && facts.process == getpid() && !facts.sockets_error && !facts.is_kernel &&
		  facts.is_new && !facts.is_zombie);
	check_look(4194304, &facts);
	cr_expect_not(facts.exists || facts.is_hidden);
}
