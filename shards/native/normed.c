/* Norms of rows on all threads: see `normed.h`. */

#include "normed.h"

static void one_row(const void *data, long row)
{
    const struct normed all = *(const struct normed *)data; /* a local copy: no store changes it */
    norm_row(&all, row);
}

EXPORT void KERNEL(native_normed)(const struct normed *all)
{
    over_rows(one_row, all, all->count, all->width);
}
