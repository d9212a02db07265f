/* SPDX-License-Identifier: MIT */
/*
 * The calls that a loaded shared object makes to functions of others, and leading one of them elsewhere: by
 * the slot of its global offset table. Only that object is changed. x86-64 and AArch64, 64 bit ELF.
 */
#ifndef REQMETER_PYTHON_CALLS_H
#define REQMETER_PYTHON_CALLS_H

/* dlopen()'s handle of an object that is loaded already, by its path; NULL when it is not. To be given to
 * calls_close(). */
void *calls_open(const char *path);
void calls_close(void *object);

/* The function that the object's calls of `name` go to now: the first of them, as far as it was resolved. NULL when it
 * calls no such function. */
void *calls_target(void *object, const char *name);

/*
 * Redirect the object's calls of `name` to `to`. `from` is the function that they call now. 0. -ENOENT: it calls no
 * such function. -EBUSY: the calls are redirected already, by another extension. -ENOTSUP: another machine. Else
 * mprotect's error. Nothing is changed on errors.
 */
int calls_lead(void *object, const char *name, void *from, void *to);

#endif
