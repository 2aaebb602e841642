/* Norms of rows, in fp32, rounded once.

   RMSNorm: out = numbers / sqrt(mean(numbers^2) + eps) * weight.
   LayerNorm: out = (numbers - mean) / sqrt(variance + eps) * weight + bias, where `bias` is given.

   `numbers` are the rows, plus those of `plus` where given: a layer adds its output to its states. RMSNorm writes the
   sum back to `plus`, which stays the state of the token; after a LayerNorm it is not needed. `codes`, where given,
   are the result a second time, in steps of each channel: 128 + out * shares. */

#ifndef NORMED_H
#define NORMED_H

#include "rows.h"

struct normed {
    struct rows rows, plus, out;
    const float *weight, *bias, *shares;
    uint8_t *codes;
    double eps;
    int64_t count, width;
};

/* Fill `numbers` with the sum to be normed. */
static inline void gather(const struct normed *all, long row, float *numbers)
{
    const __m512 scale = _mm512_set1_ps(scale_of(&all->rows, row));
    for (long at = 0; at < all->width; at += LANES) {
        __mmask16 lanes = first_lanes(all->width - at);
        __m512 some = _mm512_mul_ps(load(&all->rows, row, at, lanes), scale);
        if (all->plus.at)
            some = _mm512_add_ps(some, load(&all->plus, row, at, lanes));
        store_floats(numbers + at, lanes, some);
    }
}

/* Sum of the squares of the numbers less `mean`; with `power` 1, the sum of the numbers less `mean`. Four sums at a
   time, since an addition waits for the one before. */
static inline float sum_of(const float *numbers, long width, float mean, int power)
{
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    for (long at = 0; at < width; at += 4 * LANES)
        for (int beside = 0; beside < 4; beside++) {
            __mmask16 lanes = first_lanes(width - at - beside * LANES);
            __m512 some = load_floats(numbers + at + beside * LANES, lanes);
            some = _mm512_maskz_sub_ps(lanes, some, _mm512_set1_ps(mean));
            sums[beside] = power == 1 ? _mm512_add_ps(some, sums[beside]) : _mm512_fmadd_ps(some, some, sums[beside]);
        }
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

static inline void put_steps(const struct normed *all, long row, const float *numbers)
{
    uint8_t *to = all->codes + row * all->width;
    for (long at = 0; at < all->width; at += LANES) {
        __mmask16 lanes = first_lanes(all->width - at);
        __m512 shares = load_floats(all->shares + at, lanes);
        store_codes(to + at, lanes, _mm512_mul_ps(load_floats(numbers + at, lanes), shares), ZERO);
    }
}

static inline void norm_row(const struct normed *all, long row)
{
    float numbers[all->width] __attribute__((aligned(64)));
    gather(all, row, numbers);
    float mean = all->bias ? sum_of(numbers, all->width, 0.0f, 1) / all->width : 0.0f;
    if (!all->bias && all->plus.at)
        put_row(&all->plus, row, numbers, all->width);
    float square = sum_of(numbers, all->width, mean, 2) / all->width;
    const __m512 over = _mm512_set1_ps(1.0f / __builtin_sqrtf(square + (float)all->eps));
    for (long at = 0; at < all->width; at += LANES) {
        __mmask16 lanes = first_lanes(all->width - at);
        __m512 some = _mm512_sub_ps(load_floats(numbers + at, lanes), _mm512_set1_ps(mean));
        some = _mm512_mul_ps(_mm512_mul_ps(some, over), load_floats(all->weight + at, lanes));
        if (all->bias)
            some = _mm512_add_ps(some, load_floats(all->bias + at, lanes));
        store_floats(numbers + at, lanes, some);
    }
    put_row(&all->out, row, numbers, all->width);
    if (all->codes)
        put_steps(all, row, numbers);
}

static inline void norm_rows(const struct normed *given)
{
    const struct normed all = *given; /* a local copy: no store changes it */
    for (long row = 0; row < all.count; row++)
        norm_row(&all, row);
}

#endif
