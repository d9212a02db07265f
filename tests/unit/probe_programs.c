/* SPDX-License-Identifier: MIT */
/* Which programs belong together: that none is forgotten, and what is kept of a refusal. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "probe/programs.h"
#include "shared/record.h"
#include "reqmeter.skel.h" /* needs record.h */

Test(probe_programs, each_program_belongs_to_a_part)
{
	struct reqmeter *skeleton = reqmeter__open();
	struct bpf_program *program;
	size_t n = 0;

	cr_assert_not_null(skeleton);
	bpf_object__for_each_program (program, skeleton->obj) {
		cr_expect_lt(part_of(bpf_program__name(program)), PARTS, "%s", bpf_program__name(program));
		n++;
	}
	cr_expect_geq(n, (size_t)PARTS);
	cr_expect_leq(n, (size_t)PART_PROGRAMS_MAX);
	reqmeter__destroy(skeleton);
}

/* Only what nothing can be measured without is loaded unasked. */
Test(probe_programs, only_threads_are_loaded_unasked)
{
	struct reqmeter *skeleton = reqmeter__open();
	struct bpf_program *program;

	cr_assert_not_null(skeleton);
	bpf_object__for_each_program (program, skeleton->obj)
		cr_expect_eq(bpf_program__autoload(program), part_of(bpf_program__name(program)) == PART_THREADS, "%s",
			     bpf_program__name(program));
	reqmeter__destroy(skeleton);
}

Test(probe_programs, unknown_names)
{
	struct refusals refusals = { .n = 0 };

	cr_expect_eq(part_of("on_"), PARTS);
	cr_expect_eq(part_of(""), PARTS);
	refusal_add(&refusals, "on_nothing", false, EPERM, NULL);
	cr_expect_eq(refusals.n, 0);
}

static void expect_text(const char *log, const char *wanted)
{
	struct refusals refusals = { .n = 0 };
	char text[ANSWER_BYTES + 64];

	refusal_add(&refusals, "on_send", false, EINVAL, log);
	cr_assert_eq(refusals.n, 1);
	refusal_write(&refusals.rows[0], text, sizeof(text));
	cr_expect_str_eq(text, wanted);
}

/* Of the verifier's word the last line that is not its statistics. */
Test(probe_programs, what_is_kept_of_an_answer)
{
	char long_line[400];

	expect_text(NULL, "on_send: Invalid argument (at load)");
	expect_text("", "on_send: Invalid argument (at load)");
	expect_text("\n\n", "on_send: Invalid argument (at load)");
	expect_text("0: r1 = 2\nR1 invalid mem access 'scalar'\nprocessed 2 insns (limit 1000000)\n",
		    "on_send: Invalid argument: R1 invalid mem access 'scalar' (at load)");
	memset(long_line, 'x', sizeof(long_line) - 1);
	long_line[sizeof(long_line) - 1] = 0;
	expect_text(long_line,
		    "on_send: Invalid argument: "
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx (at load)");
}

Test(probe_programs, the_first_refusal_of_a_part_counts)
{
	struct refusals refusals = { .n = 0 };

	refusal_add(&refusals, "on_send", true, EPERM, NULL);
	refusal_add(&refusals, "on_receive", false, EINVAL, NULL);
	cr_expect_null(part_refusal(&refusals, PART_THREADS));
	cr_expect_str_eq(part_refusal(&refusals, PART_EDGES_BY_TRACEPOINT)->program, "on_send");
	cr_expect(part_refusal(&refusals, PART_EDGES_BY_TRACEPOINT)->at_attach);
}

/* As many as there are programs fit, and no more are taken. */
Test(probe_programs, room_for_all)
{
	struct refusals refusals = { .n = 0 };

	for (int i = 0; i < 2 * PART_PROGRAMS_MAX; i++)
		refusal_add(&refusals, "on_send", false, EPERM, NULL);
	cr_expect_eq(refusals.n, PART_PROGRAMS_MAX);
}
