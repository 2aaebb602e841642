/* Rows converted, added to others, or gated.

   `native_convert` writes rows in the format of `out`. `native_add` adds rows to those of `out`, in fp32, rounded once.
   `native_gate` is the gate of a feed-forward block: out = gate / (1 + e^-gate) * up, in fp32, rounded once; its rows
   are of 2 * width, gate and up side by side, and `out` is of width. */

#include "rows.h"

struct rows_to_rows {
    struct rows rows, out;
    int64_t count, width;
};

static void convert_row(const void *data, long row)
{
    const struct rows_to_rows all = *(const struct rows_to_rows *)data; /* a local copy: no store changes it */
    float numbers[all.width] __attribute__((aligned(64)));
    const __m512 scale = _mm512_set1_ps(scale_of(&all.rows, row));
    for (long at = 0; at < all.width; at += LANES) {
        __mmask16 lanes = first_lanes(all.width - at);
        store_floats(numbers + at, lanes, _mm512_mul_ps(load(&all.rows, row, at, lanes), scale));
    }
    put_row(&all.out, row, numbers, all.width);
}

static void add_row(const void *data, long row)
{
    const struct rows_to_rows all = *(const struct rows_to_rows *)data; /* a local copy: no store changes it */
    const __m512 scale = _mm512_set1_ps(scale_of(&all.rows, row));
    for (long at = 0; at < all.width; at += LANES) {
        __mmask16 lanes = first_lanes(all.width - at);
        __m512 some = _mm512_mul_ps(load(&all.rows, row, at, lanes), scale);
        some = _mm512_add_ps(some, load(&all.out, row, at, lanes));
        store_format(place(&all.out, row, at), all.out.format, lanes, some);
    }
}

static inline __m512 silu(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 power = exp_of(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(x, _mm512_add_ps(one, power));
}

static void gate_row(const void *data, long row)
{
    const struct rows_to_rows all = *(const struct rows_to_rows *)data; /* a local copy: no store changes it */
    float numbers[all.width] __attribute__((aligned(64)));
    const __m512 scale = _mm512_set1_ps(scale_of(&all.rows, row));
    for (long at = 0; at < all.width; at += LANES) {
        __mmask16 lanes = first_lanes(all.width - at);
        __m512 gate = _mm512_mul_ps(load(&all.rows, row, at, lanes), scale);
        __m512 up = _mm512_mul_ps(load(&all.rows, row, all.width + at, lanes), scale);
        store_floats(numbers + at, lanes, _mm512_mul_ps(silu(gate), up));
    }
    put_row(&all.out, row, numbers, all.width);
}

EXPORT void KERNEL(native_convert)(const struct rows_to_rows *all)
{
    over_rows(convert_row, all, all->count, all->width);
}

EXPORT void KERNEL(native_add)(const struct rows_to_rows *all)
{
    over_rows(add_row, all, all->count, all->width);
}

EXPORT void KERNEL(native_gate)(const struct rows_to_rows *all)
{
    over_rows(gate_row, all, all->count, all->width);
}
