/* SPDX-License-Identifier: MIT */
/* Connections that are no HTTP: told, acted upon by the kernel side (played here), given up. Needs BPF maps. */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/verdicts.h"
#include "shared/limits.h"

#define SECOND_NS 1000000000ull

static struct verdicts *verdicts;
static uint32_t waiting;
static int map = -1;

static void begin(void)
{
	map = bpf_map_create(BPF_MAP_TYPE_HASH, "verdicts", sizeof(uint64_t), sizeof(uint64_t), VERDICTS_MAX, NULL);
	if (map < 0)
		cr_skip_test("no BPF maps here: %s", strerror(errno));
	waiting = 0;
	cr_assert_eq(verdicts_new(&verdicts, map, &waiting), 0);
}

static void end(void)
{
	verdicts_free(verdicts);
	if (map >= 0)
		close(map);
}

TestSuite(probe_verdicts, .init = begin, .fini = end);

/* As the kernel side does at an edge of the connection. True: it was told. */
static bool act(uint64_t connection)
{
	if (bpf_map_delete_elem(map, &connection))
		return false;
	__atomic_sub_fetch(&waiting, 1, __ATOMIC_ACQ_REL);
	return true;
}

Test(probe_verdicts, told_and_acted_upon)
{
	const struct verdict some[] = { { 7, VERDICT_FOREIGN }, { 8, VERDICT_FOREIGN }, { 9, 4000 } };
	uint64_t what = 0, nine = 9;

	cr_assert_eq(verdicts_room(verdicts, SECOND_NS), VERDICTS_MAX);
	cr_assert_eq(verdicts_put(verdicts, some, 3, SECOND_NS), 3);
	cr_assert_eq(waiting, 3);
	cr_assert_eq(bpf_map_lookup_elem(map, &nine, &what), 0);
	cr_assert_eq(what, 4000);
	cr_assert_eq(verdicts_room(verdicts, 2 * SECOND_NS), VERDICTS_MAX - 3);
	cr_assert(act(8));
	cr_assert_not(act(8));
	cr_assert_eq(verdicts_room(verdicts, 3 * SECOND_NS), VERDICTS_MAX - 2);
	cr_assert_eq(waiting, 2);
}

/* Told again before anybody acted: one entry, counted once. */
Test(probe_verdicts, told_twice)
{
	const struct verdict same[] = { { 7, VERDICT_FOREIGN }, { 7, VERDICT_FOREIGN } };

	cr_assert_eq(verdicts_put(verdicts, same, 2, SECOND_NS), 1);
	cr_assert_eq(verdicts_put(verdicts, same, 1, SECOND_NS), 0);
	cr_assert_eq(waiting, 1);
}

/* A connection that is closed is asked for by nobody. */
Test(probe_verdicts, given_up_after_a_minute)
{
	const struct verdict some[] = { { 7, VERDICT_FOREIGN }, { 8, VERDICT_FOREIGN } },
			     later = { 9, VERDICT_FOREIGN };

	verdicts_put(verdicts, some, 2, SECOND_NS);
	verdicts_put(verdicts, &later, 1, 31 * SECOND_NS);
	cr_assert_eq(verdicts_room(verdicts, 60 * SECOND_NS), VERDICTS_MAX - 3);
	cr_assert_eq(verdicts_room(verdicts, 61 * SECOND_NS), VERDICTS_MAX - 1);
	cr_assert_eq(waiting, 1);
	cr_assert_not(act(7));
	cr_assert(act(9));
	cr_assert_eq(verdicts_room(verdicts, 62 * SECOND_NS), VERDICTS_MAX);
	cr_assert_eq(waiting, 0);
}

Test(probe_verdicts, no_more_than_there_is_room)
{
	static struct verdict many[VERDICTS_MAX + 10];

	for (size_t i = 0; i < VERDICTS_MAX + 10; i++)
		many[i].connection = i + 1;
	cr_assert_eq(verdicts_put(verdicts, many, VERDICTS_MAX + 10, SECOND_NS), VERDICTS_MAX);
	cr_assert_eq(verdicts_room(verdicts, SECOND_NS), 0);
	cr_assert(act(1));
	cr_assert_eq(verdicts_room(verdicts, SECOND_NS), 1);
	cr_assert_eq(verdicts_put(verdicts, &many[VERDICTS_MAX], 2, SECOND_NS), 1);
	cr_assert_eq(waiting, VERDICTS_MAX);
}
