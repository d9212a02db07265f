// SPDX-License-Identifier: MIT
/*
 * Answers a short question on a new connection at once, when all of it is there as the connection is accepted. That is
 * half of what libmicrohttpd takes for it, and a program's own requests wait for these answers. Internal to src/web.
 */
#ifndef REQMETER_WEB_QUICK_H
#define REQMETER_WEB_QUICK_H

#include <stdbool.h>

#include "web/transaction.h"

/* The path that is answered so. */
#define WEB_QUICK_PATH "/request/"

/*
 * True: it was answered and is closed. False: libmicrohttpd has to find out what the connection wants; nothing of it
 * was read.
 */
bool web_quick_answer(struct web_site *site, int fd);

#endif
