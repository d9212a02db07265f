/* SPDX-License-Identifier: MIT */
/*
 * Growing arrays. The array, its number of elements and its room stay members of the owner, so that elements are
 * reached as those of any array; these functions only make room. No thread rule of its own.
 */
#ifndef REQMETER_BASE_VECTOR_H
#define REQMETER_BASE_VECTOR_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The first allocation's number of elements; later ones double. */
#define VECTOR_ROOM_MIN 16

/*
 * Make room for `n` elements of `size` bytes in *array, which has room for *room elements and is NULL at first; never
 * shrinks. 0; -E2BIG: n is above `max`; -ENOMEM. After an error both outputs keep their values. The array stays the
 * caller's, to be given to free(). New elements are not initialized.
 */
static inline int vector_reserve(void **array, size_t *room, size_t n, size_t size, size_t max)
{
	size_t more = *room ? *room : VECTOR_ROOM_MIN;
	void *bigger;

	if (n <= *room)
		return 0;
	if (n > max)
		return -E2BIG;
	while (more < n)
		more = more > SIZE_MAX / 2 ? n : more * 2;
	if (more > max)
		more = max;
	bigger = reallocarray(*array, more, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*room = more;
	return 0;
}

/* The same for an array of any type: VECTOR_RESERVE(&items, &room, n + 1, ITEMS_MAX). */
#define VECTOR_RESERVE(array, room, n, max) vector_reserve((void **)(array), room, n, sizeof(**(array)), max)

#endif
