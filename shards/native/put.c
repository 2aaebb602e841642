/* Rows in another form, or added to others.

   `native_put` writes rows in the form of `out`. `native_add` adds rows to those of `out`, in fp32, rounded once. */

#include "rows.h"

struct put {
    struct rows rows, out;
    int64_t count, width;
};

static void put_one(const void *data, long row)
{
    const struct put all = *(const struct put *)data; /* its own: no store changes it */
    float numbers[all.width] __attribute__((aligned(64)));
    const __m512 scale = _mm512_set1_ps(scale_of(&all.rows, row));
    for (long at = 0; at < all.width; at += LANES) {
        __mmask16 lanes = first_lanes(all.width - at);
        store_floats(numbers + at, lanes, _mm512_mul_ps(load(&all.rows, row, at, lanes), scale));
    }
    put_row(&all.out, row, numbers, all.width);
}

static void add_one(const void *data, long row)
{
    const struct put all = *(const struct put *)data; /* its own: no store changes it */
    const __m512 scale = _mm512_set1_ps(scale_of(&all.rows, row));
    for (long at = 0; at < all.width; at += LANES) {
        __mmask16 lanes = first_lanes(all.width - at);
        __m512 some = _mm512_mul_ps(load(&all.rows, row, at, lanes), scale);
        some = _mm512_add_ps(some, load(&all.out, row, at, lanes));
        store_form(place(&all.out, row, at), all.out.form, lanes, some);
    }
}

EXPORT void native_put(const struct put *all)
{
    over_rows(put_one, all, all->count, all->width);
}

EXPORT void native_add(const struct put *all)
{
    over_rows(add_one, all, all->count, all->width);
}
