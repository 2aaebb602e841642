/* Norms of rows, in fp32, rounded once.

   RMSNorm: out = numbers / sqrt(mean(numbers^2) + eps) * weight.
   LayerNorm: out = (numbers - mean) / sqrt(variance + eps) * weight + bias, where `bias` is given.

   `numbers` are the rows, plus those of `plus` where that is given: what a layer adds to its states. RMSNorm
   has the sum written back to `plus`, which stays the state of the token; after a LayerNorm it is not needed.
   `codes`, where they are given, are the result a second time, in steps of each channel: 128 + out * shares. */

#include "rows.h"

struct normed {
    struct rows rows, plus, out;
    const float *weight, *bias, *shares;
    uint8_t *codes;
    double eps;
    int64_t count, width;
};

/* Fill `numbers` with what is normed. */
static void gather(const struct normed *all, long row, float *numbers)
{
    const __m512 scale = _mm512_set1_ps(scale_of(&all->rows, row));
    for (long at = 0; at < all->width; at += LANES) {
        __mmask16 lanes = first_lanes(all->width - at);
        __m512 some = _mm512_mul_ps(load(&all->rows, row, at, lanes), scale);
        if (all->plus.at)
            some = _mm512_add_ps(some, load(&all->plus, row, at, lanes));
        _mm512_mask_storeu_ps(numbers + at, lanes, some);
    }
}

static float sum_of(const float *numbers, long width)
{
    __m512 sum = _mm512_setzero_ps();
    for (long at = 0; at < width; at += LANES)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(first_lanes(width - at), numbers + at));
    return _mm512_reduce_add_ps(sum);
}

/* The sum of squares of the numbers less `mean`. */
static float squares_of(const float *numbers, long width, float mean)
{
    __m512 sum = _mm512_setzero_ps();
    for (long at = 0; at < width; at += LANES) {
        __mmask16 lanes = first_lanes(width - at);
        __m512 some = _mm512_maskz_loadu_ps(lanes, numbers + at);
        some = _mm512_maskz_sub_ps(lanes, some, _mm512_set1_ps(mean));
        sum = _mm512_fmadd_ps(some, some, sum);
    }
    return _mm512_reduce_add_ps(sum);
}

static void put_steps(const struct normed *all, long row, const float *numbers)
{
    uint8_t *to = all->codes + row * all->width;
    for (long at = 0; at < all->width; at += LANES) {
        __mmask16 lanes = first_lanes(all->width - at);
        __m512 shares = _mm512_maskz_loadu_ps(lanes, all->shares + at);
        store_codes(to + at, lanes, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, numbers + at), shares));
    }
}

static void one_row(const struct normed *all, long row)
{
    float numbers[all->width] __attribute__((aligned(64)));
    gather(all, row, numbers);
    float mean = all->bias ? sum_of(numbers, all->width) / all->width : 0.0f;
    if (!all->bias && all->plus.at)
        put_row(&all->plus, row, numbers, all->width);
    float square = squares_of(numbers, all->width, mean) / all->width;
    const __m512 over = _mm512_set1_ps(1.0f / __builtin_sqrtf(square + (float)all->eps));
    for (long at = 0; at < all->width; at += LANES) {
        __mmask16 lanes = first_lanes(all->width - at);
        __m512 some = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, numbers + at), _mm512_set1_ps(mean));
        some = _mm512_mul_ps(_mm512_mul_ps(some, over), _mm512_maskz_loadu_ps(lanes, all->weight + at));
        if (all->bias)
            some = _mm512_add_ps(some, _mm512_maskz_loadu_ps(lanes, all->bias + at));
        _mm512_mask_storeu_ps(numbers + at, lanes, some);
    }
    put_row(&all->out, row, numbers, all->width);
    if (all->codes)
        put_steps(all, row, numbers);
}

static void some_rows(void *data, long part)
{
    const struct normed *all = data;
    long some = rows_at_a_time(all->width), first = part * some;
    for (long row = first; row < all->count && row < first + some; row++)
        one_row(all, row);
}

EXPORT void native_normed(struct normed *all)
{
    in_parts(some_rows, all, parts_of(all->count, all->width));
}
