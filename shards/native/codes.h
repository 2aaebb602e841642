/* Products of codes in u8 with weights in int8: sums are whole numbers, and exact.

   The instruction takes fours: it adds a0 b0 + a1 b1 + a2 b2 + a3 b3 to each of sixteen sums, with a in u8 and b
   in s8. So codes, whose rows lie as they are, are read as four neighbours in a row, each given to all sixteen; and
   weights lie in panels of 64 outputs, `[inputs / 4][64]`, each element four inputs that follow one another, in
   panels filled up with zeros. Six rows of codes times a panel keep 24 sums in registers, enough to begin two
   instructions in every cycle. */

#ifndef CODES_H
#define CODES_H

#include <stdbool.h>
#include <string.h>

#include "rows.h"

enum {
    OUTPUTS = 64, /* of a panel */
    SIX = 6,      /* rows of codes that are multiplied together */
};

/* What codes are multiplied with: `scales * (codes - zero) weights + bias`. All are filled up to whole panels. */
struct weights {
    const int8_t *panels;
    const int32_t *starts; /* of the sums: -zero times the sum of an output's weights */
    const float *scales, *bias;
    int64_t inputs, outputs;
};

/* What becomes of numbers: `count` of them, up to OUTPUTS, of row `row` from column `column` on. */
typedef void give(const void *to, long row, long column, const float *numbers, long count);

/* Six rows times the panel of outputs from `column` on. What is `ahead` is fetched meanwhile, 16 bytes for each
   input, if that `fetches`. (That each loop is unrolled keeps sums in registers.) */
static inline __attribute__((always_inline)) void six_rows_and_fetch(
    const struct weights *all, const uint8_t *const rows[SIX], long column, int32_t to[SIX][OUTPUTS],
    const char *ahead, const bool fetches)
{
    enum { VECTORS = OUTPUTS / LANES };
    const int8_t *panel = all->panels + column * all->inputs;
    __m512i sums[SIX][VECTORS];
#pragma GCC unroll 8
    for (int row = 0; row < SIX; row++)
#pragma GCC unroll 8
        for (int at = 0; at < VECTORS; at++)
            sums[row][at] = _mm512_loadu_si512(all->starts + column + at * LANES);
    for (long four = 0; four < all->inputs; four += 4) {
        __m512i some[VECTORS];
        if (fetches)
            _mm_prefetch(ahead + four * 16, _MM_HINT_T1);
#pragma GCC unroll 8
        for (int at = 0; at < VECTORS; at++)
            some[at] = _mm512_loadu_si512(panel + four * OUTPUTS + at * LANES * 4);
#pragma GCC unroll 8
        for (int row = 0; row < SIX; row++) {
            int32_t codes;
            memcpy(&codes, rows[row] + four, sizeof codes);
#pragma GCC unroll 8
            for (int at = 0; at < VECTORS; at++)
                sums[row][at] = _mm512_dpbusd_epi32(sums[row][at], _mm512_set1_epi32(codes), some[at]);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < SIX; row++)
#pragma GCC unroll 8
        for (int at = 0; at < VECTORS; at++)
            _mm512_storeu_si512(to[row] + at * LANES, sums[row][at]);
}

static inline void six_rows(
    const struct weights *all, const uint8_t *const rows[SIX], long column, int32_t to[SIX][OUTPUTS])
{
    six_rows_and_fetch(all, rows, column, to, NULL, false);
}

/* What the sums of a row stand for. */
static inline void scaled(const struct weights *all, long column, const int32_t *sums, float *numbers)
{
    for (long at = 0; at < OUTPUTS; at += LANES) {
        __m512 scale = _mm512_loadu_ps(all->scales + column + at), bias = _mm512_loadu_ps(all->bias + column + at);
        __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + at));
        _mm512_storeu_ps(numbers + at, _mm512_fmadd_ps(sum, scale, bias));
    }
}

/* `count` rows of codes, `step` apart, times the weights; numbers are given while they are near. */
static inline void times_weights(
    const uint8_t *codes, long step, long count, const struct weights *all, give *give, const void *to)
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
                scaled(all, column, sums[row], numbers);
                give(to, first + row, column, numbers, least(OUTPUTS, all->outputs - column));
            }
        }
}

#endif
