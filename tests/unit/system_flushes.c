/* SPDX-License-Identifier: MIT */
#include "system/flushes.h"
#include "system_tree.h"

TestSuite(system_flushes, .fini = tree_remove);

static const char cpuinfo[] =
	"processor\t: 0\nvmx flags\t: invlpgb\nflags\t\t: fpu vme de invlpgb_like pse\nbugs\t\t: invlpgb\n"
	"processor\t: 1\nflags\t\t: fpu invlpgb\n";

Test(system_flushes, flags_of_the_first_processor)
{
	cr_expect(flushes_has_flag(cpuinfo, "fpu"));
	cr_expect(flushes_has_flag(cpuinfo, "pse"), "the last");
	cr_expect(flushes_has_flag("flags : a  b", "b"), "at the end of the text");
	cr_expect_not(flushes_has_flag(cpuinfo, "invlpgb"));
	cr_expect_not(flushes_has_flag(cpuinfo, "vm"), "a beginning");
	cr_expect_not(flushes_has_flag("", "fpu"));
	cr_expect_not(flushes_has_flag("flags\t\t:\n", "fpu"));
}

Test(system_flushes, by_whom)
{
	tree_unpack("");
	cr_expect_null(flushes_by_machine(tree_fd(), ""), "nothing can be read");
	tree_file("proc/cpuinfo", cpuinfo, sizeof(cpuinfo) - 1);
	cr_expect_null(flushes_by_machine(tree_fd(), "KVMKVMKVM"));
	cr_expect_str_eq(flushes_by_machine(tree_fd(), "Microsoft Hv"), "Hyper-V");
	tree_file("sys/hypervisor/guest_type", "HVM\n", 4);
	cr_expect_null(flushes_by_machine(tree_fd(), "XenVMMXenVMM"));
	tree_file("sys/hypervisor/guest_type", "PV\n", 3);
	cr_expect_str_eq(flushes_by_machine(tree_fd(), ""), "Xen");
}

Test(system_flushes, by_the_processor)
{
	static const char text[] = "processor\t: 0\nflags\t\t: fpu invlpgb\n\n";

	tree_unpack("");
	tree_file("proc/cpuinfo", text, sizeof(text) - 1);
	cr_expect_str_eq(flushes_by_machine(tree_fd(), ""), "the processor (INVLPGB)");
}

Test(system_flushes, hypervisor_here)
{
	char name[HYPERVISOR_BYTES];

	memset(name, 'x', sizeof(name));
	flushes_hypervisor(name);
	cr_expect_eq(name[HYPERVISOR_BYTES - 1], '\0');
	cr_expect_neq(name[0], 'x');
}
