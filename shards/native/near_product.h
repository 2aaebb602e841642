/* Products of codes in u8 with weights in int8, while what comes out is near: see `fours.h`. */

#ifndef NEAR_PRODUCT_H
#define NEAR_PRODUCT_H

#include "fours.h"

/* What becomes of numbers: `count` of them, up to OUTPUTS, of row `row` from column `column` on. */
typedef void give(const void *to, long row, long column, const float *numbers, long count);

static inline void six_rows(
    const struct weights *all, const uint8_t *const rows[SIX], long column, int32_t to[SIX][OUTPUTS])
{
    six_rows_of_fours(all, rows, column, to, NULL, false, CODES);
}

/* What the sums of a row stand for, and what its codes could not say. */
static inline void scaled(const struct weights *all, long column, const int32_t *sums, float unsaid, float *numbers)
{
    for (long at = 0; at < OUTPUTS; at += LANES) {
        __m512 scale = _mm512_loadu_ps(all->scales + column + at), bias = _mm512_loadu_ps(all->bias + column + at);
        bias = _mm512_add_ps(bias, _mm512_set1_ps(unsaid));
        __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + at));
        _mm512_storeu_ps(numbers + at, _mm512_fmadd_ps(sum, scale, bias));
    }
}

/* `count` rows of codes, `step` apart, times the weights; numbers are given while they are near. `unsaid`, where it is
   given, is of each row: not a number if one of those is none that the codes were made of, else 0. */
static inline void times_weights(const uint8_t *codes, long step, const float *unsaid, long count,
    const struct weights *all, give *give, const void *to)
{
    int32_t sums[SIX][OUTPUTS] __attribute__((aligned(64)));
    float numbers[OUTPUTS] __attribute__((aligned(64)));
    const uint8_t *rows[SIX];
    for (long column = 0; column < all->outputs; column += OUTPUTS)
        for (long first = 0; first < count; first += SIX) {
            for (long row = 0; row < SIX; row++)
                rows[row] = codes + least(first + row, count - 1) * step;
            six_rows(all, rows, column, sums);
            for (long row = 0; row < SIX && first + row < count; row++) {
                scaled(all, column, sums[row], unsaid ? unsaid[first + row] : 0, numbers);
                give(to, first + row, column, numbers, least(OUTPUTS, all->outputs - column));
            }
        }
}

#endif
