/* SPDX-License-Identifier: MIT */
/*
 * The kernel side's arithmetic that needs no kernel: costs, memory, the first bytes of a read, the last ones of a
 * response.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cost_arithmetic.h"
#include "line_start.h"
#include "memory_arithmetic.h"
#include "response_tail.h"

static __u64 parts_of(const struct cost *c)
{
	return c->cpu_ns + c->stolen_ns + c->runqueue_ns + c->throttled_ns + cost_blocked_ns(c);
}

/* A cost whose parts sum to its wall time, each below `max` ns. */
static struct cost random_cost(__u64 max)
{
	struct cost c = { .cpu_ns = (__u64)random() % max,
			  .stolen_ns = (__u64)random() % max,
			  .runqueue_ns = (__u64)random() % max,
			  .throttled_ns = (__u64)random() % max };

	for (int kind = 0; kind < BLOCKED_KINDS; kind++)
		c.blocked_ns[kind] = (__u64)random() % max;
	c.wall_ns = parts_of(&c);
	return c;
}

Test(bpf_arithmetic, time_closes_between_two_readings)
{
	srandom(7);
	for (int i = 0; i < 10000; i++) {
		struct cost mark = random_cost(1000), more = random_cost(1000), upto = mark, ret;

		cost_add(&upto, &more);
		cost_between(&mark, &upto, &ret);
		cr_assert_eq(memcmp(&ret, &more, sizeof(ret)), 0);
	}
}

/* The earlier reading booked CPU that was another part's. */
Test(bpf_arithmetic, an_estimate_that_was_too_high_is_taken_back)
{
	struct cost mark = { .wall_ns = 100, .cpu_ns = 100 }, upto = { .wall_ns = 150, .cpu_ns = 90, .stolen_ns = 60 };
	struct cost ret;

	cost_between(&mark, &upto, &ret);
	cr_expect_eq(ret.wall_ns, 50);
	cr_expect_eq(ret.cpu_ns, 0);
	cr_expect_eq(ret.stolen_ns, 50);
	cr_expect_eq(parts_of(&ret), ret.wall_ns);
}

Test(bpf_arithmetic, a_wait_that_was_too_long_is_taken_from_cpu)
{
	struct cost mark = { .wall_ns = 100, .runqueue_ns = 100 };
	struct cost upto = { .wall_ns = 140, .runqueue_ns = 80, .cpu_ns = 60 }, ret;

	cost_between(&mark, &upto, &ret);
	cr_expect_eq(ret.cpu_ns, 40);
	cr_expect_eq(ret.runqueue_ns, 0);
	cr_expect_eq(parts_of(&ret), ret.wall_ns);
}

Test(bpf_arithmetic, a_missing_pointer_changes_nothing)
{
	struct cost c = { .cpu_ns = 5 }, ret = { .cpu_ns = 7 };

	cost_between(NULL, &c, &ret);
	cost_between(&c, NULL, &ret);
	cost_between(&c, &c, NULL);
	cr_expect_eq(ret.cpu_ns, 7);
}

Test(bpf_arithmetic, what_was_booked_before_the_switch_is_taken_from_the_wait)
{
	struct stretch t = { .runqueue = 3000, .throttled = 1000, .blocked = 9000 };

	stretch_on(&t, 10000, 15000);
	cr_expect_eq(t.run, 15000);
	cr_expect_eq(t.stolen, 0);
	cr_expect_eq(t.runqueue, 0);
	cr_expect_eq(t.throttled, 0);
	cr_expect_eq(t.blocked, 8000);
	stretch_on(&t, 10000, 4000);
	cr_expect_eq(t.stolen, 6000);
	cr_expect_eq(t.blocked, 8000);
}

/* The scheduler's account of queued time may exceed the wait, and throttling the queued time. */
Test(bpf_arithmetic, a_stretch_closes)
{
	srandom(13);
	for (int i = 0; i < 10000; i++) {
		__u64 off = (__u64)random() % 5000, wall = (__u64)random() % 5000, run = (__u64)random() % 5000;
		bool blocked = random() % 2;
		struct cost c = { 0 };
		struct stretch t;

		stretch_off(&t, blocked, off, (__u64)random() % 6000, (__u64)random() % 6000);
		cr_assert_eq(t.runqueue + t.throttled + t.blocked, off);
		cr_assert(blocked || !t.blocked);
		stretch_on(&t, wall, run);
		cost_add_stretch(&c, &t, blocked ? BLOCKED_LOCK : (__u32)-1);
		cr_assert_eq(c.blocked_ns[BLOCKED_LOCK], t.blocked);
		cr_assert(parts_of(&c) == off + wall || run > off + wall,
			  "only a booking beyond all time is not closed");
	}
}

Test(bpf_arithmetic, a_limit_takes_waits_first)
{
	srandom(11);
	for (int i = 0; i < 10000; i++) {
		struct cost c = random_cost(1000), before = c;
		__u64 limit = (__u64)random() % 12000;

		cost_limit(&c, limit);
		cr_assert_eq(c.wall_ns, before.wall_ns < limit ? before.wall_ns : limit);
		cr_assert_eq(parts_of(&c), c.wall_ns);
		cr_assert(c.cpu_ns == before.cpu_ns || (!cost_blocked_ns(&c) && !c.runqueue_ns && !c.stolen_ns));
	}
}

Test(bpf_arithmetic, resident_memory_has_two_halves_and_a_peak)
{
	struct memory m = { 0 };
	__s64 growth = 0, peak = 0;

	srandom(17);
	cr_expect(memory_is_nothing(&m));
	for (int i = 0; i < 10000; i++) {
		enum rss_kind kind = (enum rss_kind)(random() % RSS_KINDS);
		__s64 bytes = 4096 * (random() % 201 - 100);

		resident_add(&m, kind, bytes);
		growth += kind == RSS_SWAP ? 0 : bytes;
		peak = growth > peak ? growth : peak;
		cr_assert_eq(memory_growth(&m), growth);
		cr_assert_eq((__s64)(m.gained_bytes - m.released_bytes), growth);
		cr_assert_eq(m.peak_bytes, peak);
	}
	cr_expect_not(memory_is_nothing(&m));
}

static __u64 tail_of(const char *text)
{
	__u64 tail = 0;

	for (; *text; text++)
		tail = tail >> 8 | (__u64)(unsigned char)*text << 56;
	return tail;
}

Test(bpf_arithmetic, last_chunks)
{
	cr_expect(ends_last_chunk(tail_of("abc\r\n0\r\n\r\n")));
	cr_expect(ends_last_chunk(tail_of("abc\n0\n\n")));
	cr_expect(ends_last_chunk(tail_of("\r\n000\r\n\r\n")));
	cr_expect(ends_last_chunk(tail_of("0\r\n\r\n")), "the byte before was not seen");
	cr_expect_not(ends_last_chunk(tail_of("abc\r\n10a0\r\n")));
	cr_expect_not(ends_last_chunk(tail_of("size x0\r\n\r\n")));
	cr_expect_not(ends_last_chunk(tail_of("GET / HTTP/1.1\r\n\r\n")));
	cr_expect(ends_empty_line(tail_of("x: y\r\n\r\n")));
	cr_expect(ends_empty_line(tail_of("x: y\n\n")));
	cr_expect_not(ends_empty_line(tail_of("x: y\r\n")));
}

static enum beginning beginning_of_text(const char *text)
{
	/* line_of() reads a word of eight bytes at once, which the BPF stack aligns. */
	_Alignas(8) struct line_start l = { .n = (__u32)strnlen(text, LINE_LOOKED_AT) };

	memcpy(l.bytes, text, l.n);
	return line_of(&l);
}

Test(bpf_arithmetic, what_begins_a_request)
{
	static const struct {
		const char *text;
		enum beginning beginning;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n", BEGINS_LINE },
		{ "GET  / HTTP/1.1\r\n", BEGINS_PART }, /* several blanks: user space looks at the rest */
		{ "OPTIONS * HTTP/1.1\r\n", BEGINS_LINE },
		{ "GET http://a/ HTTP/1.1", BEGINS_LINE },
		{ "GET HTTP://a/ HTTP/1.1", BEGINS_LINE },
		{ "GET htt", BEGINS_PART },
		{ "GET ftp://a/", BEGINS_NOTHING },
		{ "CONNECT a.example:443 HTTP/1.1", BEGINS_LINE },
		{ "CONNECT [::1]:443 HTTP/1.1", BEGINS_LINE },
		{ "CONNECT ", BEGINS_PART },
		{ "G", BEGINS_PART },
		{ "VERSION-CONTROL /", BEGINS_LINE },
		{ "get / HTTP/1.1", BEGINS_NOTHING },
		{ " GET /", BEGINS_NOTHING },
		{ "-GET /", BEGINS_NOTHING },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BEGINS_HTTP2 },
		{ "\x16\x03\x01", BEGINS_TLS },
		{ "*1\r\n$4\r\nPING\r\n", BEGINS_NOTHING },
		{ "EHLO example.org\r\n", BEGINS_NOTHING },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZ /", BEGINS_NOTHING },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_eq(beginning_of_text(cases[i].text), cases[i].beginning, "%s: %d", cases[i].text,
			     beginning_of_text(cases[i].text));
}
