/* Work dealt out to the threads that PyTorch already has.

   A second OpenMP library would start threads of its own beside them, and the two would wait for each other's cores.
   So this file calls the library that PyTorch loaded, by the function that compilers themselves call for a parallel
   region (the same in GNU's and in LLVM's library). The loader resolves it when the kernels are loaded; without it
   loading fails, and PyTorch's operations take over. Thus the number of threads and their way of waiting are those set
   for PyTorch. OpenMP keeps that number per calling thread, and PyTorch sets it on a thread when it is first asked for
   it there; so `arguments.py` asks before each call. */

#include "native.h"

enum { PART = 1 << 13 }; /* numbers at a time: fewer are not worth another thread */

extern void GOMP_parallel(void (*member)(void *), void *data, unsigned threads, unsigned flags);

extern int omp_get_max_threads(void);

struct team {
    void (*part)(void *data, long at);
    void *data;
    long parts;
    long next;
};

/* One thread: take the next part until none is left, so that no thread waits for a slow one. */
static void member(void *shared)
{
    struct team *team = shared;
    for (;;) {
        long at = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED);
        if (at >= team->parts)
            return;
        team->part(team->data, at);
    }
}

void in_parts(void (*part)(void *data, long at), void *data, long parts)
{
    struct team team = {part, data, parts, 0};
    if (parts > 1)
        GOMP_parallel(member, &team, 0, 0);
    else
        member(&team);
}

struct dealt {
    void (*one)(const void *all, long row);
    const void *all;
    long count, some;
};

static void some_rows(void *data, long part)
{
    const struct dealt *rows = data;
    long first = part * rows->some, last = least(first + rows->some, rows->count);
    for (long row = first; row < last; row++)
        rows->one(rows->all, row);
}

void over_rows(void (*one)(const void *all, long row), const void *all, long count, long width)
{
    long some = width < PART ? PART / width : 1;
    struct dealt rows = {one, all, count, some};
    in_parts(some_rows, &rows, (count + some - 1) / some);
}

long team_size(void)
{
    return omp_get_max_threads();
}
