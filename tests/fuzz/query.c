// SPDX-License-Identifier: MIT
/* A request target from the network, as far as the query that the report is made from. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report/query.h"
#include "web/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void check_selector(const struct selector *selector)
{
	char text[SELECTOR_TEXT_MAX + 32], error[QUERY_ERROR_SIZE];
	struct selector again;

	selector_format(selector, text, sizeof(text));
	must(selector_parse(&again, text, error, sizeof(error)) == 0);
	must(memcmp(&again, selector, sizeof(again)) == 0);
}

static void check_query(const struct query *query)
{
	must(query->limit <= QUERY_LIMIT_MAX && query->sort <= QUERY_SORT_BLOCKED);
	must(query->sections && (query->sections & ~(uint32_t)SECTION_ALL) == 0);
	must(strnlen(query->client, sizeof(query->client)) < sizeof(query->client));
	must(strnlen(query->id, sizeof(query->id)) < sizeof(query->id));
	must(strnlen(query->route, sizeof(query->route)) < sizeof(query->route));
	must(query->status_class <= 5 && query->status_code <= 999);
	if (query->has_scope)
		check_selector(&query->scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *target = malloc(size + 1), error[QUERY_ERROR_SIZE];
	struct web_uri uri;
	struct query query, before;

	memcpy(target, data, size);
	target[size] = '\0';
	query_init(&query);
	if (web_uri_parse(&uri, target, error, sizeof(error)) == 0) {
		for (size_t i = 0; i < uri.n_pairs; i++) {
			before = query;
			if (query_set(&query, uri.pairs[i].name, uri.pairs[i].value, error, sizeof(error)))
				must(error[0] && memcmp(&before, &query, sizeof(query)) == 0);
			check_query(&query);
		}
	}
	web_uri_done(&uri);
	free(target);
	return 0;
}
