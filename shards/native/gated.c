/* The gate of a feed-forward block: out = gate / (1 + e^-gate) * up, in fp32, rounded once.

   `product` is [rows, 2 * width] in bf16, gate and up side by side; `out` is [rows, width]. */

#include "vectors.h"

enum { ROWS = 16 }; /* at a time */

struct gated {
    const bf16 *product;
    bf16 *out;
    long rows, width;
};

static inline __m512 silu(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 power = exp_of(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(x, _mm512_add_ps(one, power));
}

static void row(const bf16 *gate, const bf16 *up, bf16 *out, long width)
{
    for (long at = 0; at < width; at += LANES) {
        __mmask16 lanes = first_lanes(width - at);
        __m512 values = _mm512_mul_ps(silu(load_bf16(gate + at, lanes)), load_bf16(up + at, lanes));
        store_bf16(out + at, lanes, values);
    }
}

static void some_rows(void *data, long at)
{
    const struct gated *all = data;
    long last = (at + 1) * ROWS < all->rows ? (at + 1) * ROWS : all->rows;
    for (long row_at = at * ROWS; row_at < last; row_at++) {
        const bf16 *gate = all->product + row_at * 2 * all->width;
        row(gate, gate + all->width, all->out + row_at * all->width, all->width);
    }
}

EXPORT void native_gated(const bf16 *product, bf16 *out, long rows, long width)
{
    struct gated all = {product, out, rows, width};
    in_parts(some_rows, &all, (rows + ROWS - 1) / ROWS);
}
