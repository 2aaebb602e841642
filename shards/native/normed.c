/* Norms of rows, dealt out to threads: see `normed.h`. */

#include "normed.h"

static void some_rows(void *data, long part)
{
    const struct normed *all = data;
    long some = rows_at_a_time(all->width);
    norm_rows(all, part * some, some);
}

EXPORT void native_normed(struct normed *all)
{
    in_parts(some_rows, all, parts_of(all->count, all->width));
}
