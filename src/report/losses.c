/* SPDX-License-Identifier: MIT */
#include "report/losses.h"

#include <string.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

#define LOSS_WORD(name, value, meaning) { name, meaning },
static const struct loss_word losses[] = { LOSSES(LOSS_WORD) };

const struct loss_word *losses_all(size_t *n)
{
	*n = N(losses);
	return losses;
}

const char *losses_meaning(const char *name)
{
	for (size_t i = 0; i < N(losses); i++)
		if (strcmp(losses[i].name, name) == 0)
			return losses[i].meaning;
	return "";
}
