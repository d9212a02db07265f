/* SPDX-License-Identifier: MIT */
#include "drum/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The clients of one scope. */
struct group {
	struct group *next;
	struct client_scope is;
	size_t n_clients;               /* that have it, whether or not they have read */
	struct client *newest, *oldest; /* of those that have read times, by their last read */
};

struct client {
	struct client *newer, *older;            /* by last use, of all */
	struct client *read_after, *read_before; /* neighbours in the scope's order; see has_read */
	struct group *scope;
	char *name;
	bool has_read;               /* it has read times: it is in the scope's order */
	struct time_sums until_next; /* from its read to that of read_after, or to now */
	uint64_t cpu_time_ns;
	struct client_cpu *cpu; /* sorted */
	size_t n_cpu;
};

struct clients {
	struct served *served;
	struct group *scopes;
	struct client *newest, *oldest;
	size_t n;
};

int clients_new(struct clients **ret)
{
	struct clients *c = calloc(1, sizeof(*c));

	if (!c || served_new(&c->served)) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

size_t clients_n(const struct clients *c)
{
	return c->n;
}

/* --- the order of use --- */

static void unlink_use(struct clients *c, struct client *one)
{
	*(one->newer ? &one->newer->older : &c->newest) = one->older;
	*(one->older ? &one->older->newer : &c->oldest) = one->newer;
}

static void link_newest(struct clients *c, struct client *one)
{
	one->newer = NULL;
	one->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = one;
	c->newest = one;
}

/* --- the order of reads in a scope --- */

/* Pass what the client held on to the client that read before it, for whom nothing has changed. */
static void leave_order(struct client *one)
{
	struct group *scope = one->scope;

	if (!one->has_read)
		return;
	if (one->read_before)
		time_sums_merge(&one->read_before->until_next, &one->until_next);
	*(one->read_after ? &one->read_after->read_before : &scope->newest) = one->read_before;
	*(one->read_before ? &one->read_before->read_after : &scope->oldest) = one->read_after;
	one->has_read = false;
}

void clients_times_read(struct clients *c, struct client *one)
{
	struct group *scope = one->scope;

	(void)c;
	leave_order(one);
	one->read_after = NULL;
	one->read_before = scope->newest;
	*(scope->newest ? &scope->newest->read_after : &scope->oldest) = one;
	scope->newest = one;
	one->until_next = TIME_SUMS_NONE;
	one->has_read = true;
}

/* --- scopes --- */

static bool same_scope(const struct client_scope *a, const struct client_scope *b)
{
	return a->kind == b->kind && a->pid == b->pid && strcmp(a->text, b->text) == 0;
}

static struct group *scope_get(struct clients *c, const struct client_scope *wanted)
{
	struct group *scope = c->scopes;

	while (scope && !same_scope(&scope->is, wanted))
		scope = scope->next;
	if (scope)
		return scope;
	scope = calloc(1, sizeof(*scope));
	if (!scope)
		return NULL;
	scope->is = *wanted;
	scope->is.text = strdup(wanted->text);
	if (!scope->is.text) {
		free(scope);
		return NULL;
	}
	scope->next = c->scopes;
	c->scopes = scope;
	return scope;
}

static void scope_put(struct clients *c, struct group *scope)
{
	struct group **at = &c->scopes;

	if (scope->n_clients)
		return;
	while (*at != scope)
		at = &(*at)->next;
	*at = scope->next;
	free((char *)scope->is.text);
	free(scope);
}

/* --- clients --- */

static void forget(struct clients *c, struct client *one)
{
	leave_order(one);
	unlink_use(c, one);
	one->scope->n_clients--;
	scope_put(c, one->scope);
	free(one->name);
	free(one->cpu);
	free(one);
	c->n--;
}

void clients_free(struct clients *c)
{
	if (!c)
		return;
	while (c->newest)
		forget(c, c->newest);
	served_free(c->served);
	free(c);
}

static struct client *client_new(struct clients *c, const char *name, const struct client_scope *wanted)
{
	struct group *scope = scope_get(c, wanted);
	struct client *one = calloc(1, sizeof(*one));
	char *copy = strdup(name);

	if (!scope || !one || !copy) {
		if (scope)
			scope_put(c, scope);
		free(one);
		free(copy);
		return NULL;
	}
	one->name = copy;
	one->scope = scope;
	scope->n_clients++;
	link_newest(c, one);
	c->n++;
	return one;
}

struct client *clients_find(struct clients *c, const char *name, const struct client_scope *wanted)
{
	struct client *one = c->newest;

	while (one && (strcmp(one->name, name) != 0 || !same_scope(&one->scope->is, wanted)))
		one = one->older;
	if (one) {
		unlink_use(c, one);
		link_newest(c, one);
		return one;
	}
	if (c->n == CLIENTS_MAX)
		forget(c, c->oldest);
	return client_new(c, name, wanted);
}

/* --- times --- */

void clients_ended(struct clients *c, const struct served_by *by, uint64_t duration_ns, bool is_prediction)
{
	served_add(c->served, by, duration_ns, is_prediction);
}

/* A response in progress adds to the sum alone; while it is being added, its bounds may come later. */
void clients_add_rate_limited(struct clients *c, const struct rate_limited *u)
{
	struct served_by by = { .cgroup_id = u->cgroup_id, .pid = u->pid };
	struct time_sums sums = TIME_SUMS_NONE;
	uint64_t mean_ns = u->count ? u->total_ns / u->count : 0, min_ns = u->count ? mean_ns : UNKNOWN;

	memcpy(by.comm, u->comm, sizeof(by.comm));
	memcpy(by.lineage, u->lineage, sizeof(by.lineage));
	sums.all.count = u->count;
	sums.all.total_ns = u->total_ns;
	sums.all.min_ns = u->min_ns && u->min_ns < min_ns ? u->min_ns : min_ns;
	sums.all.max_ns = u->max_ns > mean_ns ? u->max_ns : mean_ns;
	served_add_sums(c->served, &by, &sums);
}

struct asking {
	struct clients *clients;
	clients_holds *holds;
	void *context;
	bool (*ready)(void *context, const struct served_by *);
	const struct client_scope *scope;
	struct time_sums sums;
};

static bool hand_out(void *context, const struct served_by *by, const struct time_sums *sums)
{
	const struct asking *asking = context;

	if (asking->ready && !asking->ready(asking->context, by))
		return false;
	for (struct group *scope = asking->clients->scopes; scope; scope = scope->next)
		if (scope->newest && asking->holds(asking->context, &scope->is, by))
			time_sums_merge(&scope->newest->until_next, sums);
	return true;
}

void clients_settle(struct clients *c, clients_holds *holds, bool (*ready)(void *, const struct served_by *),
		    void *context)
{
	struct asking asking = { .clients = c, .holds = holds, .context = context, .ready = ready };

	served_settle(c->served, hand_out, &asking);
}

static void add_if_held(void *context, const struct served_by *by, const struct time_sums *sums)
{
	struct asking *asking = context;

	if (asking->holds(asking->context, asking->scope, by))
		time_sums_merge(&asking->sums, sums);
}

struct time_sums clients_since(const struct clients *c, const struct client *one, clients_holds *holds, void *context)
{
	struct asking asking = { .holds = holds, .context = context, .scope = &one->scope->is, .sums = TIME_SUMS_NONE };

	if (!one->has_read) {
		served_walk(c->served, add_if_held, &asking);
		return asking.sums;
	}
	for (const struct client *part = one; part; part = part->read_after)
		time_sums_merge(&asking.sums, &part->until_next);
	return asking.sums;
}

/* --- CPU of processes --- */

static int by_process(const void *a, const void *b)
{
	const struct client_cpu *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->leader_start_boot_ns < y->leader_start_boot_ns ? -1
								 : x->leader_start_boot_ns > y->leader_start_boot_ns;
}

uint64_t client_cpu_time_ns(const struct client *one)
{
	return one->cpu_time_ns;
}

const struct client_cpu *client_cpu(const struct client *one, uint32_t pid, uint64_t leader_start_boot_ns)
{
	const struct client_cpu key = { .pid = pid, .leader_start_boot_ns = leader_start_boot_ns };

	return one->n_cpu ? bsearch(&key, one->cpu, one->n_cpu, sizeof(key), by_process) : NULL;
}

void client_cpu_read(struct client *one, uint64_t now_ns, struct client_cpu *list, size_t n)
{
	free(one->cpu);
	one->cpu = list;
	one->n_cpu = n < CLIENT_PROCESSES_MAX ? n : CLIENT_PROCESSES_MAX;
	one->cpu_time_ns = now_ns;
	if (one->n_cpu)
		qsort(list, one->n_cpu, sizeof(*list), by_process);
}
