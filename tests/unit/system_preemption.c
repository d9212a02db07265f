/* SPDX-License-Identifier: MIT */
/* Whether the kernel preempts itself, by what it says of itself. */
#include "system/preemption.h"
#include "system_tree.h"

TestSuite(system_preemption, .fini = tree_remove);

Test(system_preemption, by_version)
{
	cr_expect_eq(preemption_of_version("#1 SMP Debian 6.1.0-1"), PREEMPTION_OFF);
	cr_expect_eq(preemption_of_version("#1 SMP PREEMPT Debian 5.10"), PREEMPTION_ON);
	cr_expect_eq(preemption_of_version("#1 SMP PREEMPT_RT Debian 6.1"), PREEMPTION_ON);
	cr_expect_eq(preemption_of_version("#1 SMP PREEMPT_DYNAMIC Debian 6.1"), PREEMPTION_UNKNOWN);
}

static const struct {
	const char *line;
	enum preemption wanted;
} lines[] = {
	{ "", PREEMPTION_UNKNOWN },
	{ "quiet preempt=full\n", PREEMPTION_ON },
	{ "preempt=none", PREEMPTION_OFF },
	{ "preempt=voluntary quiet", PREEMPTION_OFF },
	{ "preempt=lazy", PREEMPTION_ON },
	{ "preempt=none preempt=full", PREEMPTION_ON },
	{ "preempt=full preempt=none", PREEMPTION_OFF },
	{ "preempt=", PREEMPTION_UNKNOWN },
	{ "preempt=fullest", PREEMPTION_UNKNOWN },
	{ "preempt=non", PREEMPTION_UNKNOWN },
	{ "rcu_preempt=full my.preempt=none", PREEMPTION_UNKNOWN },
};

Test(system_preemption, by_command_line)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		cr_expect_eq(preemption_of_command_line(lines[i].line), lines[i].wanted, "%s", lines[i].line);
}

#define DEBIAN                                                                                                         \
	"# CONFIG_PREEMPT_NONE is not set\nCONFIG_PREEMPT_VOLUNTARY=y\n# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_DYNAMIC=y\n"
#define ARCH                                                                                                           \
	"# CONFIG_PREEMPT_VOLUNTARY is not set\nCONFIG_PREEMPT=y\nCONFIG_PREEMPT_COUNT=y\nCONFIG_PREEMPT_DYNAMIC=y\n"

Test(system_preemption, by_config)
{
	cr_expect_eq(preemption_of_config("A=y\n" DEBIAN), PREEMPTION_OFF);
	cr_expect_eq(preemption_of_config("A=y\n" ARCH), PREEMPTION_ON);
	cr_expect_eq(preemption_of_config("A=y\nCONFIG_PREEMPT_COUNT=y\nCONFIG_HAVE_PREEMPT=y\n"), PREEMPTION_UNKNOWN);
}

Test(system_preemption, in_turn)
{
	static const char dynamic[] = "#1 SMP PREEMPT_DYNAMIC";

	tree_unpack("==> proc/cmdline <==\nquiet\n==> boot/config-6.1 <==\nA=y\n" DEBIAN);
	cr_expect_eq(preemption_read(tree_fd(), dynamic, "6.1"), PREEMPTION_OFF);
	cr_expect_eq(preemption_read(tree_fd(), dynamic, "6.2"), PREEMPTION_UNKNOWN);
	cr_expect_eq(preemption_read(tree_fd(), "#1 SMP PREEMPT", "6.1"), PREEMPTION_ON);
	tree_remove();
	tree_unpack("==> proc/cmdline <==\nquiet preempt=full\n==> boot/config-6.1 <==\nA=y\n" DEBIAN);
	cr_expect_eq(preemption_read(tree_fd(), dynamic, "6.1"), PREEMPTION_ON);
}

Test(system_preemption, where_the_kernel_keeps_it)
{
	tree_unpack("==> proc/kallsyms <==\nffffffff81000000 T _text\nffffffff9f05bd88 t x_preempt_dynamic_mode\n"
		    "ffffffff9f05bd90 D preempt_dynamic_mode\n");
	cr_expect_eq(preemption_address(tree_fd()), 0xffffffff9f05bd90ul);
	tree_remove();
	tree_unpack("==> proc/kallsyms <==\n0000000000000000 D preempt_dynamic_mode\n");
	cr_expect_eq(preemption_address(tree_fd()), 0);
	cr_expect_eq(preemption_of_mode(-1), PREEMPTION_UNKNOWN);
	cr_expect_eq(preemption_of_mode(1), PREEMPTION_OFF);
	cr_expect_eq(preemption_of_mode(2), PREEMPTION_ON);
}
