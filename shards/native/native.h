/* Shared by all kernels: visibility from outside, and the work dealt out to threads.

   Python calls kernels with addresses and sizes that it has checked. Kernels free what they allocate, raise nothing,
   and keep nothing between two calls. */

#ifndef NATIVE_H
#define NATIVE_H

#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* A kernel's name in the library: files are compiled once for each tier of instructions, TIER (`build.py`). */
#define JOINED(name, tier) name##_##tier
#define OF_TIER(name, tier) JOINED(name, tier)
#define KERNEL(name) OF_TIER(name, TIER)

typedef uint16_t bf16; /* the upper half of a float */

static inline long least(long one, long other)
{
    return one < other ? one : other;
}

static inline long rounded_up(long count, long step)
{
    return (count + step - 1) / step * step;
}

/* Run `part(data, at)` for each `at` in [0, parts), on the threads that PyTorch has, in any order. */
void in_parts(void (*part)(void *data, long at), void *data, long parts);

/* Run `one(all, row)` for each of `count` rows of `width` numbers in the same way, some at a time. */
void over_rows(void (*one)(const void *all, long row), const void *all, long count, long width);

/* The number of these threads. */
long team_size(void);

#endif
