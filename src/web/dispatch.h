// SPDX-License-Identifier: MIT
/* Which path is answered by whom. The paths are those of reqmeter(8). */
#ifndef REQMETER_WEB_DISPATCH_H
#define REQMETER_WEB_DISPATCH_H

#include "web/server.h"

struct web_dispatch {
	void *context;
	int (*ready)(void *context); /* non-zero once the programs are attached */
	void (*stats)(void *context, const struct web_request *request, struct web_answer *answer);
	/* answers at once */
	void (*request)(void *context, const struct web_request *request, struct web_answer *answer);
	int (*turns)(void *context); /* non-zero while the agent's loop turns; NULL: it is the server's own */
};

/* A web_handler; its context is a struct web_dispatch. */
void web_dispatch_answer(void *routes, const struct web_request *request, struct web_answer *answer);

#endif
