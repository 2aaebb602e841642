/* The gate of a feed-forward block: out = gate / (1 + e^-gate) * up, in fp32, rounded once.

   `product` is rows of 2 * width, gate and up side by side; `out` is rows of width, in any form. */

#include "rows.h"

struct gated {
    struct rows product, out;
    int64_t count, width;
};

static inline __m512 silu(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 power = exp_of(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(x, _mm512_add_ps(one, power));
}

static void one_row(const void *data, long row)
{
    const struct gated all = *(const struct gated *)data; /* its own: no store changes it */
    float numbers[all.width] __attribute__((aligned(64)));
    const __m512 scale = _mm512_set1_ps(scale_of(&all.product, row));
    for (long at = 0; at < all.width; at += LANES) {
        __mmask16 lanes = first_lanes(all.width - at);
        __m512 gate = _mm512_mul_ps(load(&all.product, row, at, lanes), scale);
        __m512 up = _mm512_mul_ps(load(&all.product, row, all.width + at, lanes), scale);
        store_floats(numbers + at, lanes, _mm512_mul_ps(silu(gate), up));
    }
    put_row(&all.out, row, numbers, all.width);
}

EXPORT void native_gated(const struct gated *all)
{
    over_rows(one_row, all, all->count, all->width);
}
