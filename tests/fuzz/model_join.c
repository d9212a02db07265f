/* SPDX-License-Identifier: MIT */
/*
 * Threads, sockets and lost records in any order, told by the model of the kernel side. Whatever happens: no request
 * twice, none for ever, no cost that the threads did not give away, and the counts agree.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/join.h"
#include "../unit/model_kernel.h"

#define THREADS 4
#define SOCKETS 4
#define CPU_NS  10

struct world {
	struct kernel k;
	struct join *join;
	uint64_t row_cpu_ns;
	/*
	 * What threads ran since they last slept, when they were seen: the kernel side may yet find that it was
	 * nobody's.
	 */
	uint64_t doubtful_ns;
	size_t n_rows;
};

static void take_row(void *context, struct request *r)
{
	struct world *w = context;

	assert(r->cost.cpu_ns <= w->k.now_ns && r->cost.wall_ns <= w->k.now_ns * THREADS);
	assert(r->framing.received_to >= r->framing.received_from && r->framing.sent_to >= r->framing.sent_from &&
	       r->id);
	w->row_cpu_ns += r->cost.cpu_ns;
	w->n_rows++;
	request_free(r);
}

static void deliver(void *context, const struct record *record, const char *bytes)
{
	join_record(((struct world *)context)->join, record, bytes);
}

static void look(struct world *w)
{
	struct sample sample = k_sample(&w->k);
	const uint64_t *unclaimed;
	size_t n;

	for (int i = 0; i < THREADS; i++) {
		const struct k_thread *t = &w->k.threads[i];

		if (t->alive && t->exchange && t->rested && !t->ended)
			w->doubtful_ns += t->cpu_ns - t->at_block.cpu_ns;
	}
	join_sample(w->join, &sample);
	unclaimed = join_unclaimed(w->join, &n);
	for (size_t i = 0; i < n; i++)
		k_forget(&w->k, unclaimed[i]);
}

static const char *const reads[] = {
	"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
	"POST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
	"POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"3\r\nabc\r\n0\r\n\r\n",
	"GET /e HTTP/1.1\r\nX-Req",
	"uest-ID: e\r\n\r\n",
	"\r\n",
	"\x16\x03\x01",
	"junk",
};

static const char *const writes[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
	"ok",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	"2\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/1.0 200 OK\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Le",
	"ngth: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"2\r\nok\r\n0;a\r\nT: 1\r\n\r\n",
};

#define CHOOSE(table, n) (table)[(n) % (sizeof(table) / sizeof(*(table)))]

/* One byte says what, one who and where. */
static void act(struct world *w, uint8_t what, uint8_t where)
{
	struct k_thread *t = &w->k.threads[where % THREADS];
	int socket = where / THREADS % SOCKETS;
	struct k_socket *s = &w->k.sockets[socket];
	uint8_t which = where / (THREADS * SOCKETS);

	k_run(&w->k, t, CPU_NS);
	switch (what % 16) {
	case 0:
	case 1:
	case 2:
		k_read(&w->k, t, s, CHOOSE(reads, which + what / 16));
		break;
	case 3:
	case 4:
		k_write(&w->k, t, s, CHOOSE(writes, which + what / 16));
		break;
	case 5:
		k_read_nothing(&w->k, t, s, which & 1);
		break;
	case 6:
		k_sleep(&w->k, t, 5);
		break;
	case 7:
		k_loop(&w->k, t, 5);
		break;
	case 8:
		k_close(&w->k, which & 1 ? t : NULL, s, false);
		k_accept(&w->k, socket, which & 2);
		break;
	case 9:
		look(w);
		break;
	case 10:
		/* Records, but for those of libreqmeter. */
		w->k.drop = which & 8 ? 0 : 1u << (1 + (which + what / 16) % RECORD_CLOSE);
		break;
	case 11:
		w->k.row_limit = which & 1;
		break;
	case 12:
		k_read_wait(&w->k, t, s, 5);
		break;
	case 13:
		k_wake(&w->k, t);
		break;
	case 14:
		k_sendfile(&w->k, t, s, 1 + which);
		break;
	default:
		s->missed = which & 1;
	}
}

/* All threads end, and with them their process: nothing may stay. */
static void end_world(struct world *w)
{
	for (int i = 0; i < THREADS; i++)
		k_exit(&w->k, &w->k.threads[i], true);
	k_thread(&w->k, 0, 900, 900);
	for (int i = 0; i < 3; i++) {
		k_wait(&w->k, 1);
		look(w);
	}
	assert(join_counts(w->join)->in_flight == 0);
	assert(w->k.n_parked == 0);
	assert(join_counts(w->join)->finished == w->n_rows);
	assert(join_counts(w->join)->started == w->n_rows + join_counts(w->join)->rows_dropped);
	assert(w->row_cpu_ns <= w->k.request_cpu_ns + w->doubtful_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w && join_new(&w->join, NULL, take_row, w) == 0);
	k_init(&w->k, deliver, w);
	for (int i = 0; i < THREADS; i++)
		k_thread(&w->k, i, 100, 100 + (uint32_t)i);
	for (int i = 0; i < SOCKETS; i++)
		k_accept(&w->k, i, false);
	for (size_t i = 0; i + 1 < n; i += 2)
		act(w, data[i], data[i + 1]);
	end_world(w);
	join_free(w->join);
	free(w);
	return 0;
}
