/* SPDX-License-Identifier: MIT */
/* One look at everything: the calls whose order matters, as one function. One thread. */
#ifndef REQMETER_AGENT_SAMPLING_H
#define REQMETER_AGENT_SAMPLING_H

#include "base/features.h"
#include "cgroups/ledger.h"
#include "collect/collector.h"
#include "collect/runtimes.h"
#include "collect/sdk_reader.h"
#include "model/model.h"

/* What a sample is taken from, and what it goes into; all of it the agent's. */
struct sampling {
	struct collector *collector;
	struct sdk_reader *sdk_reader;
	struct runtimes *runtimes;
	struct model *model;
	struct ledger *ledger;
	struct features *features; /* what a failed look costs is noted here */
};

/*
 * Take a sample, bring the model and the ledger up to it, give ended requests to the clients whose scopes hold them,
 * and free in the kernel side what has no further use. Return the sample, which belongs to the collector and is valid
 * until the next call; a part of it that could not be read is empty.
 */
const struct sample *sampling_take(const struct sampling *);

#endif
