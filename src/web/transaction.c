// SPDX-License-Identifier: MIT
#include "web/transaction.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* What a ticket is a ticket for. */
struct web_ticket {
	struct web_site *site;
	struct MHD_Connection *connection;
	bool is_deferred, is_answered;
	struct web_answer answer;
	struct web_ticket *next;
};

struct web_transaction {
	struct web_ticket ticket;
	struct web_uri uri;
	int uri_result;
	char uri_error[160];
	bool is_announced; /* libmicrohttpd's first call, before a body, is over */
};

static struct web_peer *peer_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void web_transaction_connection(void *cls, struct MHD_Connection *connection, void **peer,
				enum MHD_ConnectionNotificationCode what)
{
	struct web_site *site = cls;
	const union MHD_ConnectionInfo *info;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*peer = info ? web_peers_add(&site->peers, info->connect_fd) : NULL;
	} else if (*peer) {
		web_peers_remove(&site->peers, *peer);
		*peer = NULL;
	}
}

void *web_transaction_begin(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct web_transaction *exchange = calloc(1, sizeof(*exchange));
	char *query = target ? strchr(target, '?') : NULL;

	if (exchange)
		exchange->ticket = (struct web_ticket){ .site = cls, .connection = connection };
	if (exchange)
		exchange->uri_result = web_uri_parse(&exchange->uri, target ? target : "", exchange->uri_error,
						     sizeof(exchange->uri_error));
	/*
	 * libmicrohttpd would now cut the query once more and take a record for every pair from the
	 * connection's memory, which thousands of "&a&a" exhaust: hide it. The buffer is its own, writable
	 * one.
	 */
	if (query)
		query[1] = '\0';
	return exchange;
}

void web_transaction_end(void *cls, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct web_site *site = cls;
	struct web_transaction *exchange = *state;
	struct web_peer *peer = peer_of(connection);

	(void)why;
	if (peer)
		web_peers_waiting(&site->peers, peer);
	MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)WEB_IDLE_SECONDS);
	if (exchange) {
		web_uri_done(&exchange->uri);
		web_answer_done(&exchange->ticket.answer);
	}
	free(exchange);
	*state = NULL;
}

struct hosts {
	const char *first;
	unsigned n;
};

static enum MHD_Result note_host(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct hosts *hosts = cls;

	(void)kind;
	if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0 && hosts->n++ == 0)
		hosts->first = value ? value : "";
	return MHD_YES;
}

/* libmicrohttpd leaves the white space behind a value in it. */
static size_t trimmed_length(const char *text)
{
	size_t n = strlen(text);

	while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	return n;
}

/* True when the request may go on; else the answer says why not. */
static bool check_host(struct MHD_Connection *connection, const char *version, struct web_answer *answer)
{
	struct hosts hosts = { 0 };
	char host[80] = "";

	MHD_get_connection_values(connection, MHD_HEADER_KIND, note_host, &hosts);
	if (hosts.first) /* a longer one is refused by its first 79 bytes just as well */
		snprintf(host, sizeof(host), "%.*s", (int)trimmed_length(hosts.first), hosts.first);
	if (hosts.n > 1 || (hosts.n == 0 && strcmp(version, MHD_HTTP_VERSION_1_0) != 0))
		web_error(answer, 400, "bad_request", "the request needs exactly one Host header");
	else if (hosts.n == 1 && !web_host_is_allowed(host))
		web_error(answer, 403, "host_not_allowed",
			  "Host '%s' is neither an IP address nor localhost: ask by address", host);
	return answer->status == 0;
}

static bool check_token(const struct web_site *site, struct MHD_Connection *connection, struct web_answer *answer)
{
	if (!site->token.is_set)
		return true;
	if (web_token_matches(&site->token,
			      MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION)))
		return true;
	web_error(answer, 401, "unauthorized",
		  "this address wants 'Authorization: Bearer TOKEN' with the agent's token");
	answer->authenticate = "Bearer";
	return false;
}

static bool check_method(const char *method, struct web_answer *answer)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
		return true;
	web_error(answer, 405, "method_not_allowed", "%.40s is not answered here, only GET and HEAD", method);
	answer->allow = "GET, HEAD";
	return false;
}

static bool check_target(const struct web_transaction *exchange, struct web_answer *answer)
{
	if (exchange->uri_result == -EINVAL)
		web_error(answer, 400, "bad_request", "%s", exchange->uri_error);
	else if (exchange->uri_result)
		web_error(answer, 503, "out_of_memory", "the agent is out of memory, try again");
	return exchange->uri_result == 0;
}

static bool check_room(const struct web_site *site, struct web_answer *answer)
{
	if (site->peers.answer_bytes < WEB_MAX_ANSWER_BYTES)
		return true;
	web_error(answer, 503, "busy", "slow readers hold too much of the agent's memory, try again");
	return false;
}

struct web_ticket *web_defer(const struct web_request *request)
{
	request->ticket->is_deferred = true;
	return request->ticket;
}

void web_resolve(struct web_ticket *ticket, struct web_answer *answer)
{
	struct web_site *site = ticket->site;
	uint64_t one = 1;

	ticket->answer = *answer;
	*answer = (struct web_answer){ 0 };
	pthread_mutex_lock(&site->lock);
	ticket->next = site->answered;
	site->answered = ticket;
	pthread_mutex_unlock(&site->lock);
	/* Fails only when the counter is full, and then the loop is awake. */
	if (write(site->answered_fd, &one, sizeof(one)) < 0)
		return;
}

void web_transaction_resume(struct web_site *site)
{
	struct web_ticket *ticket, *next;
	uint64_t n;

	if (read(site->answered_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&site->lock);
	ticket = site->answered;
	site->answered = NULL;
	pthread_mutex_unlock(&site->lock);
	for (; ticket; ticket = next) {
		next = ticket->next;
		ticket->is_answered = true;
		MHD_resume_connection(ticket->connection);
	}
}

pid_t web_peer_process(struct web_peer *peer)
{
	return web_peer_pid(peer);
}

static void call_handler(struct web_site *site, struct web_transaction *exchange, struct web_peer *peer,
			 const char *method, struct web_answer *answer)
{
	struct web_request request = {
		.method = method,
		.path = exchange->uri.path,
		.query = exchange->uri.query,
		.pairs = exchange->uri.pairs,
		.n_pairs = exchange->uri.n_pairs,
		.fd = peer->fd,
		.is_unix = peer->is_unix,
		/* Only who connected to a Unix socket is known without looking. */
		.peer_pid = peer->is_unix ? peer->pid : 0,
		.ticket = &exchange->ticket,
		.peer = peer,
	};

	memcpy(request.peer_ip, peer->ip, sizeof(request.peer_ip));
	site->handler(site->context, &request, answer);
	if (answer->status == 0 && !exchange->ticket.is_deferred)
		web_error(answer, 500, "internal", "the agent had no answer");
}

static struct MHD_Response *own_response(struct web_answer *answer)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(answer->length, answer->body, MHD_RESPMEM_MUST_FREE);

	if (response)
		answer->body = NULL; /* the response's from here */
	return response;
}

static void answer_free(void *cls)
{
	struct web_answer *answer = cls;

	web_answer_done(answer);
	free(answer);
}

/* The answer's own bytes in the middle of those that it shares. */
static struct MHD_Response *shared_response(struct web_answer *answer)
{
	struct web_answer *held = malloc(sizeof(*held));
	struct MHD_IoVec pieces[] = {
		{ answer->shared, answer->shared_hole },
		{ answer->body, answer->length },
		{ answer->shared + answer->shared_hole, answer->shared_length - answer->shared_hole },
	};
	struct MHD_Response *response;

	if (!held)
		return NULL;
	*held = *answer;
	response = MHD_create_response_from_iovec(pieces, 3, answer_free, held);
	if (!response) {
		free(held);
		return NULL;
	}
	held->location = NULL; /* the rest of the answer stays where it was */
	answer->body = NULL;
	answer->release = NULL;
	return response;
}

static struct MHD_Response *to_response(const struct web_peer *peer, struct web_answer *answer)
{
	const struct {
		const char *name, *value;
	} headers[] = {
		{ MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type },
		{ MHD_HTTP_HEADER_LOCATION, answer->location },
		{ MHD_HTTP_HEADER_ALLOW, answer->allow },
		{ MHD_HTTP_HEADER_WWW_AUTHENTICATE, answer->authenticate },
		{ MHD_HTTP_HEADER_CACHE_CONTROL, "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
		{ MHD_HTTP_HEADER_CONNECTION, web_peer_is_done(peer) ? "close" : NULL },
	};
	struct MHD_Response *response = answer->shared ? shared_response(answer) : own_response(answer);

	if (!response)
		return NULL;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		if (headers[i].value)
			MHD_add_response_header(response, headers[i].name, headers[i].value);
	return response;
}

static enum MHD_Result send_answer(struct web_site *site, struct MHD_Connection *connection, struct web_peer *peer,
				   struct web_answer *answer)
{
	size_t length = answer->length;
	unsigned status = (unsigned)answer->status;
	struct MHD_Response *response = to_response(peer, answer);
	enum MHD_Result result = MHD_NO;

	if (response) {
		web_peers_answering(&site->peers, peer, length);
		MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)WEB_READ_SECONDS);
		result = MHD_queue_response(connection, status, response);
		MHD_destroy_response(response);
	}
	web_answer_done(answer);
	return result;
}

enum MHD_Result web_transaction_run(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
				    const char *version, const char *upload, size_t *n_upload, void **state)
{
	struct web_site *site = cls;
	struct web_transaction *exchange = *state;
	struct web_peer *peer = peer_of(connection);
	struct web_answer answer = { 0 };

	(void)url;
	(void)upload;
	if (!exchange || !peer)
		return MHD_NO;
	if (exchange->ticket.is_answered)
		return send_answer(site, connection, peer, &exchange->ticket.answer);
	if (!exchange->is_announced || *n_upload) { /* an answer before the body's end would cost the connection */
		exchange->is_announced = true;
		*n_upload = 0;
		return MHD_YES;
	}
	if ((peer->is_unix || (check_host(connection, version, &answer) && check_token(site, connection, &answer))) &&
	    check_method(method, &answer) && check_target(exchange, &answer) && check_room(site, &answer))
		call_handler(site, exchange, peer, method, &answer);
	if (exchange->ticket.is_deferred) {
		web_peers_answering(&site->peers, peer, 0);
		MHD_suspend_connection(connection);
		return MHD_YES;
	}
	return send_answer(site, connection, peer, &answer);
}
