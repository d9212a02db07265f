/* SPDX-License-Identifier: MIT */
/* Two copies of libreqmeter in one process: the one linked in here, and the shared library. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <reqmeter/reqmeter.h>

struct copy {
	void *library;
	uint64_t (*begin)(const struct reqmeter_details *);
	uint64_t (*turn)(uint64_t);
	void (*end)(uint64_t);
	int (*works)(void);
};

static void copy_load(struct copy *c)
{
	c->library = dlopen("build/libreqmeter.so", RTLD_NOW | RTLD_LOCAL);
	if (!c->library)
		cr_skip_test("%s", dlerror());
	c->begin = (uint64_t(*)(const struct reqmeter_details *))dlsym(c->library, "reqmeter_begin");
	c->turn = (uint64_t(*)(uint64_t))dlsym(c->library, "reqmeter_switch");
	c->end = (void (*)(uint64_t))dlsym(c->library, "reqmeter_end");
	c->works = (int (*)(void))dlsym(c->library, "reqmeter_works");
	cr_assert(c->begin && c->turn && c->end && c->works);
}

Test(sdk_copies, the_second_does_nothing)
{
	struct copy other;
	uint64_t request;

	copy_load(&other);
	cr_assert(reqmeter_works());
	cr_assert_not(other.works());
	cr_assert_eq(other.begin(NULL), 0);
	request = reqmeter_begin(NULL);
	cr_assert_eq(other.turn(request), 0);
	cr_assert_eq(reqmeter_current(), 0);
	other.end(request);
	cr_assert(reqmeter_is_open(request));
	cr_assert_eq(reqmeter_switch(request), 0);
	cr_assert_eq(reqmeter_current(), request);
}

Test(sdk_copies, whichever_comes_first)
{
	struct copy other;

	copy_load(&other);
	cr_assert(other.works());
	cr_assert_not(reqmeter_works());
	cr_assert_eq(reqmeter_begin(NULL), 0);
	cr_assert_neq(other.begin(NULL), 0);
}

Test(sdk_copies, goes_on_after_dlclose)
{
	struct copy other;
	uint64_t request;

	copy_load(&other);
	request = other.begin(NULL);
	other.turn(request);
	cr_assert_eq(dlclose(other.library), 0);
	cr_assert_eq(other.turn(0), request, "it stays mapped");
	copy_load(&other);
	cr_assert_eq(other.turn(request), 0);
	other.end(request);
	cr_assert_eq(other.turn(0), 0);
}
