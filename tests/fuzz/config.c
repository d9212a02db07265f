// SPDX-License-Identifier: MIT
/* The text of a --config file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "web/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void check_options(const struct agent_options *options)
{
	must(options->recent >= 1 && options->recent <= 1000000 && options->keep_ns && options->state_dir);
	must(options->listen.n >= 1 && options->listen.n <= CONFIG_MAX_ITEMS);
	for (size_t i = 0; i < options->listen.n; i++)
		must(options->insecure_listen || options->token_file ||
		     web_address_is_loopback(options->listen.items[i]));
	for (size_t i = 0; i < options->n_scopes; i++)
		must(options->scopes[i].kind < SELECTOR_N_KINDS && options->scopes[i].kind != SELECTOR_SELF);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size ? size : 1), error[1024] = ""; /* no NUL behind it: only the length counts */
	struct agent_options options;

	memcpy(text, data, size);
	if (agent_options_read_json(&options, text, size, error, sizeof(error)) == 0)
		check_options(&options);
	else
		must(error[0] && strlen(error) < sizeof(error));
	agent_options_done(&options);
	free(text);
	return 0;
}
