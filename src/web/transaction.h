// SPDX-License-Identifier: MIT
/*
 * One request in, one answer out: the callbacks that libmicrohttpd runs, and the checks that come before the
 * handler. Internal to src/web; the callbacks' closure is a struct web_site.
 */
#ifndef REQMETER_WEB_TRANSACTION_H
#define REQMETER_WEB_TRANSACTION_H

#include <microhttpd.h>
#include <pthread.h>

#include "web/guard.h"
#include "web/peers.h"
#include "web/server.h"

struct web_site {
	web_handler handler;
	void *context;
	struct web_token token;
	struct web_peers peers;
	/* Answers that were deferred and have come. */
	pthread_mutex_t lock;
	struct web_ticket *answered;
	int answered_fd; /* an eventfd */
};

/* Lets go on those connections whose answers have come. */
void web_transaction_resume(struct web_site *site);

void *web_transaction_begin(void *site, const char *target, struct MHD_Connection *connection);
enum MHD_Result web_transaction_run(void *site, struct MHD_Connection *connection, const char *url, const char *method,
				    const char *version, const char *upload, size_t *n_upload, void **exchange);
void web_transaction_end(void *site, struct MHD_Connection *connection, void **exchange,
			 enum MHD_RequestTerminationCode why);
void web_transaction_connection(void *site, struct MHD_Connection *connection, void **peer,
				enum MHD_ConnectionNotificationCode what);

#endif
