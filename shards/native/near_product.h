/* Products of codes in u8 with weights in int8, consumed while the results are in the cache: see `fours.h`. */

#ifndef NEAR_PRODUCT_H
#define NEAR_PRODUCT_H

#include "tiles.h"

/* Consumer of `count` results, up to OUTPUTS, of row `row` from column `column` on. */
typedef void take(const void *to, long row, long column, const float *numbers, long count);

static inline void six_rows(
    const struct weights *all, const uint8_t *const rows[SIX], long column, int32_t to[SIX][OUTPUTS])
{
    six_rows_of_fours(all, rows, column, to, NULL, false, CODES);
}

/* Turn the sums of a row into numbers; `poison` is NaN where the codes of the row lost one, else 0. */
static inline void scaled(const struct weights *all, long column, const int32_t *sums, float poison, float *numbers)
{
    for (long at = 0; at < OUTPUTS; at += LANES) {
        __m512 scale = _mm512_loadu_ps(all->scales + column + at), bias = _mm512_loadu_ps(all->bias + column + at);
        bias = _mm512_add_ps(bias, _mm512_set1_ps(poison));
        __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + at));
        _mm512_storeu_ps(numbers + at, _mm512_fmadd_ps(sum, scale, bias));
    }
}

/* Consume the results of `some` rows from `first` on. */
static inline void take_sums(const struct weights *all, long first, long some, long column, int32_t (*sums)[OUTPUTS],
    const float *poisons, take *take, const void *to)
{
    float numbers[OUTPUTS] __attribute__((aligned(64)));
    for (long row = 0; row < some; row++) {
        scaled(all, column, sums[row], poisons ? poisons[first + row] : 0, numbers);
        take(to, first + row, column, numbers, least(OUTPUTS, all->outputs - column));
    }
}

#ifdef __AMX_TILE__

static inline void tiles_times_weights(const uint8_t *codes, long step, const float *poisons, long count,
    const struct weights *all, take *take, const void *to)
{
    int32_t sums[TILED][OUTPUTS] __attribute__((aligned(64)));
    long shaped = 0;
    for (long column = 0; column < all->outputs; column += OUTPUTS)
        for (long first = 0; first < count; first += TILED) {
            const char *at = (const char *)codes + first * step;
            const struct tiled rows = {at, at + TILE_ROWS * step, 1, step, least(TILED, count - first)};
            if (shaped != rows.count)
                shape_tiles(shaped = rows.count);
            rows_of_tiles(all, &rows, column, sums, CODES);
            take_sums(all, first, rows.count, column, sums, poisons, take, to);
        }
    _tile_release();
}

#endif

/* `count` rows of codes, `step` apart, times the weights; `take` consumes the results while they are in the cache.
   `poisons`, where given, holds one number a row: NaN if a number behind its codes was NaN, else 0. */
static inline void times_weights(const uint8_t *codes, long step, const float *poisons, long count,
    const struct weights *all, take *take, const void *to)
{
    int32_t sums[SIX][OUTPUTS] __attribute__((aligned(64)));
    const uint8_t *rows[SIX];
#ifdef __AMX_TILE__
    if (takes_tiles(all)) {
        tiles_times_weights(codes, step, poisons, count, all, take, to);
        return;
    }
#endif
    for (long column = 0; column < all->outputs; column += OUTPUTS)
        for (long first = 0; first < count; first += SIX) {
            for (long row = 0; row < SIX; row++)
                rows[row] = codes + least(first + row, count - 1) * step;
            six_rows(all, rows, column, sums);
            take_sums(all, first, least(SIX, count - first), column, sums, poisons, take, to);
        }
}

#endif
