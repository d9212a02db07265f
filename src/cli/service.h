/* SPDX-License-Identifier: MIT */
/*
 * Serves an agent: one thread runs the web server, others make reports (agent/reporter.h), and the owner of the agent
 * drains it. Slow clients and long reports hold up neither the draining nor each other.
 */
#ifndef REQMETER_CLI_SERVICE_H
#define REQMETER_CLI_SERVICE_H

#include "agent/agent.h"
#include "web/dispatch.h"

struct service;

/* The routes that the web server is to be made with; their context is the address of what will point to the service. */
void service_dispatch(struct web_dispatch *, struct service **);

/*
 * From here on the web server is turned, and the agent touched by service_drain alone. All three must outlive the
 * service; signals should be blocked already. 0 or negative errno.
 */
int service_start(struct service **ret, struct web *, struct agent *, const struct selector *default_scope);
/* NULL is allowed. Afterwards both are the caller's again. */
void service_stop(struct service *);

/* Drain the agent: see agent_drain(). Frequent calls are the heartbeat behind /healthz. */
void service_drain(struct service *);

#endif
