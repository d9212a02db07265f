/* SPDX-License-Identifier: MIT */
/* Finding the heads in what a connection receives: any cut into reads, bodies not shown, junk, heads too large. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/receiver.h"

enum { HEADS = 64 };

struct found {
	char path[64];
	uint64_t offset, begin_ns;
	bool cut;
};

/* A connection, and what was found on it. The clock is the number of the read. */
struct feed {
	struct receiver receiver;
	struct receiver_losses losses;
	struct found heads[HEADS];
	size_t n_heads;
	uint64_t upto, reads;
};

static void keep(void *context, const struct http_request *head, uint64_t offset, uint64_t begin_ns)
{
	struct feed *f = context;
	struct found *h = &f->heads[f->n_heads++];

	cr_assert_leq(f->n_heads, HEADS);
	snprintf(h->path, sizeof(h->path), "%.*s", (int)head->path.length, head->path.at);
	h->offset = offset;
	h->begin_ns = begin_ns;
	h->cut = head->cut;
}

/* A read of `moved` bytes of which `shown` are shown; an exact copy, so that the sanitizer sees a read too far. */
static void read_shown(struct feed *f, const char *bytes, size_t moved, size_t shown)
{
	char *exact = malloc(shown ? shown : 1);

	memcpy(exact, bytes, shown);
	f->upto += moved;
	f->reads++;
	receiver_feed(&f->receiver, exact, shown, moved, f->upto, f->reads, NULL, &f->losses, keep, f);
	free(exact);
}

static void read_bytes(struct feed *f, const char *bytes, size_t n)
{
	read_shown(f, bytes, n, n);
}

static void read_text(struct feed *f, const char *text)
{
	read_bytes(f, text, strlen(text));
}

/* A read of which no record came: only the count of bytes tells. */
static void read_untold(struct feed *f, size_t moved)
{
	f->upto += moved;
	f->reads++;
}

static void found_is(const struct feed *f, size_t i, const char *path, uint64_t offset, uint64_t begin_ns, int line)
{
	cr_assert_lt(i, f->n_heads, "line %d: only %zu heads", line, f->n_heads);
	cr_expect_str_eq(f->heads[i].path, path, "line %d", line);
	cr_expect_eq(f->heads[i].offset, offset, "line %d: offset %lu", line, (unsigned long)f->heads[i].offset);
	if (begin_ns)
		cr_expect_eq(f->heads[i].begin_ns, begin_ns, "line %d: begin %lu", line,
			     (unsigned long)f->heads[i].begin_ns);
}
#define FOUND(f, i, path, offset, begin_ns) found_is(f, i, path, offset, begin_ns, __LINE__)

#define GET(path)            "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(path, n, body)  "POST " path " HTTP/1.1\r\nHost: x\r\nContent-Length: " n "\r\n\r\n" body
#define CHUNKS(path, chunks) "POST " path " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" chunks

/* Heads with and without bodies, bodies that look like heads, pipelined, chunked with trailers. */
static const char conversation[] = GET("/1") POST("/2", "23", "GET /no HTTP/1.1\r\n\r\n...") GET("/3")
	CHUNKS("/4", "5\r\nGET /\r\n12;ext=1\r\nnot HTTP/1.1\r\n\r\nab\r\n0\r\nT: 1\r\n\r\n") "\n" GET("/5")
		POST("/6", "0", "") CHUNKS("/7", "0\r\n\r\n") "GET /8 HTTP/1.0\n\n" GET("/9");

static void conversation_is_found(const struct feed *f, const char *how, size_t a, size_t b)
{
	cr_assert_eq(f->n_heads, 9, "%s %zu %zu: %zu heads", how, a, b, f->n_heads);
	for (size_t i = 0; i < 9; i++) {
		char path[8], line[16];
		const char *at;

		snprintf(path, sizeof(path), "/%zu", i + 1);
		snprintf(line, sizeof(line), " /%zu HTTP", i + 1);
		cr_assert_str_eq(f->heads[i].path, path, "%s %zu %zu", how, a, b);
		cr_assert_not(f->heads[i].cut);
		/* The first byte of its method; an empty line before it may count as its own or not. */
		at = strstr(conversation, line);
		cr_assert_leq(f->heads[i].offset, (uint64_t)(at - conversation));
		cr_assert_geq(f->heads[i].offset + 5, (uint64_t)(at - conversation), "%s %zu %zu: head %zu", how, a, b,
			      i);
	}
	cr_assert_eq(f->losses.heads_cut + f->losses.head_parse, 0);
	cr_assert(receiver_idle(&f->receiver));
}

Test(http1_receiver, one_read)
{
	struct feed f = { 0 };

	read_text(&f, conversation);
	conversation_is_found(&f, "whole", 0, 0);
	receiver_done(&f.receiver);
}

Test(http1_receiver, byte_by_byte)
{
	struct feed f = { 0 };

	for (size_t i = 0; i < sizeof(conversation) - 1; i++)
		read_bytes(&f, conversation + i, 1);
	conversation_is_found(&f, "bytes", 0, 0);
	receiver_done(&f.receiver);
}

Test(http1_receiver, cut_in_three_at_every_two_bytes)
{
	size_t n = sizeof(conversation) - 1;

	for (size_t a = 0; a <= n; a++) {
		for (size_t b = a; b <= n; b += 1 + b % 3) {
			struct feed f = { 0 };

			read_bytes(&f, conversation, a);
			read_bytes(&f, conversation + a, b - a);
			read_bytes(&f, conversation + b, n - b);
			conversation_is_found(&f, "cut", a, b);
			receiver_done(&f.receiver);
		}
	}
}

/* A head begins when its first byte was read, not when it became whole; an empty line before it is not its begin. */
Test(http1_receiver, begin_is_the_first_byte)
{
	struct feed f = { 0 };

	read_text(&f, "GET /a HT");
	read_text(&f, "TP/1.1\r\n");
	read_text(&f, "\r\n"
		      "GET /b");
	read_text(&f, " HTTP/1.1\r\n\r\n");
	cr_assert_eq(f.n_heads, 2);
	FOUND(&f, 0, "/a", 0, 1);
	FOUND(&f, 1, "/b", 19, 3);
	receiver_done(&f.receiver);
}

/* Some clients end a body with an empty line that is not part of it. The next request did not begin with that. */
Test(http1_receiver, stray_line_after_a_body)
{
	struct feed f = { 0 };

	read_text(&f, POST("/a", "3", "abc") "\r\n");
	cr_expect(receiver_idle(&f.receiver), "an empty line is no request that is coming");
	receiver_resume(&f.receiver, f.upto);
	read_text(&f, GET("/b"));
	cr_assert_eq(f.n_heads, 2);
	cr_expect_eq(f.heads[1].begin_ns, 2, "begun at read %lu", (unsigned long)f.heads[1].begin_ns);
	receiver_done(&f.receiver);
}

/* Bodies longer than what is shown: of the reads' ends, of whole reads, and of reads no record tells about. */
Test(http1_receiver, bodies_not_shown)
{
	struct feed f = { 0 };
	const char *post = POST("/a", "10000", "");
	char bytes[200] = { 0 };
	uint64_t next;

	memcpy(bytes, post, strlen(post));
	read_shown(&f, bytes, strlen(post) + 2000, strlen(post) + 100);
	read_shown(&f, bytes, 3000, 0);
	read_untold(&f, 4000);
	read_shown(&f, bytes, 500, 100);
	read_untold(&f, 500);
	next = f.upto;
	read_text(&f, GET("/b"));
	cr_assert_eq(f.n_heads, 2);
	FOUND(&f, 0, "/a", 0, 1);
	FOUND(&f, 1, "/b", next, 0);
	cr_expect_eq(f.losses.heads_cut + f.losses.head_parse, 0);
	receiver_done(&f.receiver);
}

/* The body's last bytes and the next head in one read, the read before untold. */
Test(http1_receiver, body_ends_inside_a_read)
{
	struct feed f = { 0 };

	read_text(&f, POST("/a", "1000", ""));
	read_untold(&f, 997);
	read_text(&f, "xyz" GET("/b"));
	cr_assert_eq(f.n_heads, 2);
	FOUND(&f, 1, "/b", f.upto - strlen(GET("/b")), 3);
	receiver_done(&f.receiver);
}

Test(http1_receiver, chunks_not_shown)
{
	struct feed f = { 0 };
	uint64_t next;

	read_text(&f, CHUNKS("/a", "1000\r\n"));
	read_untold(&f, 4000);
	read_shown(&f, "", 95, 0);
	read_text(&f, "x\r\n0\r\n\r\n");
	next = f.upto;
	read_text(&f, GET("/b"));
	cr_assert_eq(f.n_heads, 2);
	FOUND(&f, 1, "/b", next, 0);
	receiver_done(&f.receiver);
}

/* A size line went by unseen: the place is lost and nothing is guessed, until a new turn. */
Test(http1_receiver, lost_in_chunks)
{
	struct feed f = { 0 };
	uint64_t next;

	read_text(&f, CHUNKS("/a", "10\r\n"));
	read_untold(&f, 100);
	read_text(&f, GET("/guess"));
	cr_expect_eq(f.n_heads, 1);
	cr_expect_eq(f.receiver.state, RECEIVE_LOST);
	next = f.upto;
	receiver_resume(&f.receiver, f.upto);
	read_text(&f, GET("/b"));
	cr_assert_eq(f.n_heads, 2);
	FOUND(&f, 1, "/b", next, 0);
	receiver_done(&f.receiver);
}

/*
 * A read that nobody told about, and then a new turn: where it begins is known for sure, whatever went by before. So
 * one lost record costs one head and not two.
 */
Test(http1_receiver, resume_after_an_untold_read)
{
	struct feed f = { 0 };
	uint64_t next;

	read_text(&f, GET("/a"));
	read_untold(&f, strlen(GET("/lost")));
	next = f.upto;
	receiver_resume(&f.receiver, f.upto);
	cr_expect(receiver_idle(&f.receiver));
	read_text(&f, GET("/b"));
	cr_assert_eq(f.n_heads, 2, "%zu", f.n_heads);
	FOUND(&f, 1, "/b", next, 0);
	receiver_done(&f.receiver);
}

/* Untold bytes up to a body's last, beyond it, and within: only within does the body go on. */
Test(http1_receiver, resume_after_an_untold_body)
{
	for (size_t untold = 8; untold <= 12; untold++) {
		struct feed f = { 0 };
		uint64_t next;

		read_text(&f, POST("/a", "10", ""));
		read_untold(&f, untold);
		next = f.upto;
		receiver_resume(&f.receiver, f.upto);
		cr_expect_eq(receiver_idle(&f.receiver), untold >= 10, "%zu", untold);
		read_text(&f, GET("/b"));
		/* The body's last two bytes are taken from what follows, and "T /b" is a head, too. */
		cr_assert_eq(f.n_heads, 2);
		FOUND(&f, 1, "/b", untold >= 10 ? next : next + 10 - untold, 0);
		receiver_done(&f.receiver);
	}
}

/* Untold bytes inside a chunk's data change nothing. */
Test(http1_receiver, resume_inside_a_chunk)
{
	struct feed f = { 0 };

	read_text(&f, CHUNKS("/a", "100\r\n"));
	read_untold(&f, 200);
	receiver_resume(&f.receiver, f.upto);
	cr_expect_not(receiver_idle(&f.receiver));
	read_untold(&f, 56);
	read_text(&f, "\r\n0\r\n\r\n" GET("/b"));
	cr_expect_eq(f.n_heads, 2, "%zu", f.n_heads);
	receiver_done(&f.receiver);
}

/* resume changes nothing while the place is known. */
Test(http1_receiver, resume_in_a_body)
{
	struct feed f = { 0 };

	read_text(&f, POST("/a", "40", "0123456789"));
	receiver_resume(&f.receiver, f.upto);
	read_text(&f, "GET /no HTTP/1.1\r\n\r\n0123456789");
	receiver_resume(&f.receiver, f.upto);
	read_text(&f, GET("/b"));
	cr_assert_eq(f.n_heads, 2);
	FOUND(&f, 1, "/b", f.upto - strlen(GET("/b")), 3);
	receiver_done(&f.receiver);
}

Test(http1_receiver, resume_in_a_head)
{
	struct feed f = { 0 };

	read_text(&f, GET("/a") "GET /b HT");
	receiver_resume(&f.receiver, f.upto);
	read_text(&f, "TP/1.1\r\n\r\n");
	cr_assert_eq(f.n_heads, 2);
	FOUND(&f, 1, "/b", strlen(GET("/a")), 1);
	receiver_done(&f.receiver);
}

Test(http1_receiver, junk)
{
	static const char *const junk[] = { "\x16\x03\x01\x02\x01junk",
					    "SSH-2.0-OpenSSH\r\n",
					    "* OK IMAP\r\n",
					    "\0\0\0\0",
					    "GET\r\n\r\n",
					    "GET / HTTP/2.0\r\n\r\n",
					    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" };

	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++) {
		struct feed f = { 0 };

		read_bytes(&f, junk[i], junk[i][0] ? strlen(junk[i]) : 4);
		cr_expect_eq(f.n_heads, 0);
		cr_expect_eq(f.losses.head_parse, 1, "%zu", i);
		read_text(&f, GET("/not-yet"));
		cr_expect_eq(f.n_heads, 0, "a place that was lost is found at a new turn only");
		cr_expect_eq(f.losses.head_parse, 1);
		receiver_resume(&f.receiver, f.upto);
		read_text(&f, GET("/a"));
		cr_expect_eq(f.n_heads, 1);
		receiver_done(&f.receiver);
	}
}

/* --- heads larger than what is copied or kept --- */

static size_t large_head(char *to, size_t n, const char *path)
{
	size_t at = (size_t)sprintf(to, "GET %s HTTP/1.1\r\nX-Request-ID: me\r\nX: ", path);

	memset(to + at, 'x', n - at - 4);
	memcpy(to + n - 4, "\r\n\r\n", 4);
	return n;
}

/* Every read is shown whole: found up to HEAD_TOTAL, whatever the reads. */
Test(http1_receiver, large_heads_shown)
{
	static char bytes[HEAD_TOTAL + 100];
	static const size_t sizes[] = { HEAD_COPY, HEAD_COPY + 1, HEAD_TOTAL - 1, HEAD_TOTAL },
			    cuts[] = { 4096, 1000, 16384 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (size_t c = 0; c < sizeof(cuts) / sizeof(*cuts); c++) {
			struct feed f = { 0 };

			large_head(bytes, sizes[i], "/big");
			for (size_t at = 0; at < sizes[i]; at += cuts[c])
				read_bytes(&f, bytes + at, sizes[i] - at < cuts[c] ? sizes[i] - at : cuts[c]);
			read_text(&f, GET("/next"));
			cr_assert_eq(f.n_heads, 2, "%zu in %zu", sizes[i], cuts[c]);
			FOUND(&f, 0, "/big", 0, 1);
			cr_expect_not(f.heads[0].cut);
			cr_expect_eq(f.losses.heads_cut, 0);
			FOUND(&f, 1, "/next", sizes[i], 0);
			receiver_done(&f.receiver);
		}
	}
}

/* One read larger than the copy: the head is known as far as it was copied, and said to be cut. */
Test(http1_receiver, head_larger_than_the_copy)
{
	static char bytes[8000];
	struct feed f = { 0 };

	read_shown(&f, bytes, large_head(bytes, sizeof(bytes), "/big"), HEAD_COPY);
	cr_assert_eq(f.n_heads, 1);
	FOUND(&f, 0, "/big", 0, 1);
	cr_expect(f.heads[0].cut);
	cr_expect_eq(f.losses.heads_cut, 1);
	cr_expect_eq(f.losses.head_parse, 0);
	/* Where its body begins is not known. */
	read_text(&f, GET("/guess"));
	cr_expect_eq(f.n_heads, 1);
	receiver_resume(&f.receiver, f.upto);
	read_text(&f, GET("/b"));
	cr_assert_eq(f.n_heads, 2);
	receiver_done(&f.receiver);
}

/* Beyond HEAD_TOTAL, shown whole: cut, once, and nothing kept. */
Test(http1_receiver, head_beyond_the_total)
{
	static char bytes[HEAD_TOTAL + 500];

	for (size_t cut = 1000; cut <= sizeof(bytes); cut += 700) {
		struct feed f = { 0 };

		large_head(bytes, sizeof(bytes), "/big");
		for (size_t at = 0; at < sizeof(bytes); at += cut)
			read_bytes(&f, bytes + at, sizeof(bytes) - at < cut ? sizeof(bytes) - at : cut);
		cr_assert_eq(f.n_heads, 1, "%zu", cut);
		FOUND(&f, 0, "/big", 0, 1);
		cr_expect(f.heads[0].cut);
		cr_expect_eq(f.losses.heads_cut, 1);
		cr_expect_null(f.receiver.head);
		receiver_resume(&f.receiver, f.upto);
		read_text(&f, GET("/b"));
		cr_expect_eq(f.n_heads, 2);
		receiver_done(&f.receiver);
	}
}

/* Only the request line's beginning was shown: no head, counted. */
Test(http1_receiver, not_even_a_request_line)
{
	struct feed f = { 0 };

	read_shown(&f, "GET /a HTTP/1.1\r\nHo", 500, 10);
	cr_expect_eq(f.n_heads, 0);
	cr_expect_eq(f.losses.heads_cut, 1);
	cr_expect_eq(f.receiver.state, RECEIVE_LOST);
	cr_expect_null(f.receiver.head);
	receiver_done(&f.receiver);
}

/* --- a tunnel --- */

Test(http1_receiver, tunnel)
{
	struct feed f = { 0 };

	read_text(&f, GET("/ws"));
	f.receiver.state = RECEIVE_TUNNEL;
	read_text(&f, GET("/no"));
	read_untold(&f, 77);
	receiver_resume(&f.receiver, f.upto);
	read_text(&f, GET("/no"));
	cr_expect_eq(f.n_heads, 1);
	cr_expect_not(receiver_idle(&f.receiver));
	receiver_done(&f.receiver);
}

/* --- properties --- */

/* A random conversation of whole requests, and where each head begins. */
static size_t converse(unsigned *seed, char *to, size_t room, uint64_t *offsets, size_t *n_heads)
{
	size_t n = 0;

	*n_heads = 0;
	while (n + 700 < room && *n_heads < 20) {
		int kind = rand_r(seed) % 4, length = rand_r(seed) % 100;

		offsets[*n_heads] = n;
		n += (size_t)sprintf(to + n, "%s /%zu HTTP/1.1\r\nA: b\r\n", kind ? "POST" : "GET", (*n_heads)++);
		if (kind == 1)
			n += (size_t)sprintf(to + n, "Content-Length: %d\r\n\r\n", length);
		else if (kind == 2)
			n += (size_t)sprintf(to + n, "Transfer-Encoding: chunked\r\n\r\n");
		else
			n += (size_t)sprintf(to + n, "\r\n");
		for (int i = 0; kind == 1 && i < length; i++)
			to[n++] = "GET / HTTP/1.1\r\n\r\n"[rand_r(seed) % 18];
		for (int chunks = rand_r(seed) % 4; kind == 2 && chunks >= 0; chunks--) {
			length = chunks ? 1 + rand_r(seed) % 60 : 0;
			n += (size_t)sprintf(to + n, "%x\r\n", length);
			for (int i = 0; i < length; i++)
				to[n++] = "GET / HTTP/1.1\r\n\r\n"[rand_r(seed) % 18];
			n += (size_t)sprintf(to + n, "\r\n");
		}
	}
	return n;
}

/* However the bytes are cut into reads, the same heads come out. */
Test(http1_receiver, cuts_change_nothing)
{
	static char bytes[8192];
	unsigned seed = 11;

	for (int round = 0; round < 3000; round++) {
		uint64_t offsets[32];
		size_t n_heads, n = converse(&seed, bytes, sizeof(bytes), offsets, &n_heads), at = 0;
		struct feed f = { 0 };

		while (at < n) {
			size_t most = rand_r(&seed) % 3 ? 40 : 1500, take = 1 + (size_t)rand_r(&seed) % most;

			if (take > n - at)
				take = n - at;
			read_bytes(&f, bytes + at, take);
			at += take;
		}
		cr_assert_eq(f.n_heads, n_heads, "round %d: %zu of %zu", round, f.n_heads, n_heads);
		for (size_t i = 0; i < n_heads; i++)
			cr_assert_eq(f.heads[i].offset, offsets[i]);
		cr_assert(receiver_idle(&f.receiver));
		cr_assert_eq(f.losses.heads_cut + f.losses.head_parse, 0);
		receiver_done(&f.receiver);
	}
}

/* Bytes that go by unshown or untold may hide heads, but never make one out of a body or move one. */
Test(http1_receiver, gaps_invent_nothing)
{
	static char bytes[8192];
	unsigned seed = 12;

	for (int round = 0; round < 3000; round++) {
		uint64_t offsets[32];
		size_t n_heads, n = converse(&seed, bytes, sizeof(bytes), offsets, &n_heads), at = 0;
		struct feed f = { 0 };

		while (at < n) {
			size_t take = 1 + (size_t)rand_r(&seed) % 200;

			if (take > n - at)
				take = n - at;
			if (rand_r(&seed) % 6 == 0)
				read_untold(&f, take);
			else
				read_shown(&f, bytes + at, take,
					   rand_r(&seed) % 4 ? take : (size_t)rand_r(&seed) % (take + 1));
			at += take;
		}
		for (size_t i = 0; i < f.n_heads; i++) {
			size_t k = (size_t)atoi(f.heads[i].path + 1);

			cr_assert(i == 0 || f.heads[i].offset > f.heads[i - 1].offset);
			cr_assert_lt(k, n_heads);
			cr_assert_eq(f.heads[i].offset, offsets[k], "round %d", round);
		}
		receiver_done(&f.receiver);
	}
}

/* Half heads of others take no room from one that comes whole; the next half one is cut where it is. */
Test(http1_receiver, budget_of_all)
{
	struct receiver_budget budget = { .bytes_max = 100 };
	struct feed slow[3] = { 0 }, whole = { 0 };

	whole.receiver.budget = &budget;
	for (int i = 0; i < 3; i++) {
		slow[i].receiver.budget = &budget;
		read_text(&slow[i], "GET /slow HTTP/1.1\r\nHost: example.org\r\n"); /* 39 bytes */
	}
	cr_expect_eq(slow[0].losses.heads_cut + slow[1].losses.heads_cut, 0);
	cr_expect_eq(slow[2].losses.heads_cut, 1);
	cr_assert_eq(slow[2].n_heads, 1);
	cr_expect(slow[2].heads[0].cut);
	cr_expect_str_eq(slow[2].heads[0].path, "/slow");
	read_text(&whole, "GET /whole HTTP/1.1\r\nHost: example.org\r\nX-Request-ID: 1\r\n\r\n");
	cr_assert_eq(whole.n_heads, 1);
	cr_expect_not(whole.heads[0].cut);
	read_text(&slow[0], "\r\n");
	cr_expect_eq(slow[0].n_heads, 1);
	for (int i = 0; i < 3; i++)
		receiver_done(&slow[i].receiver);
	receiver_done(&whole.receiver);
	cr_expect_eq(budget.bytes, 0);
}
