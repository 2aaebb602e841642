/* Products of six rows with a panel of weights, four bytes of a row at a time.

   The instructions take four bytes. Of codes, a0 b0 + a1 b1 + a2 b2 + a3 b3 is added to each of sixteen sums, with a in
   u8 and b in s8; these sums are exact integers. Of bf16, a0 b0 + a1 b1 is added; these sums are fp32. So a row, which
   is not rearranged, is read as four neighbouring bytes, and these go to all sixteen lanes. Weights lie in panels of 64
   outputs, `[bytes / 4][64]`, padded with zeros; an element is the four bytes of an output that meet those of a row.
   Six rows times a panel keep 24 sums in registers, enough to begin two instructions in every cycle. */

#ifndef FOURS_H
#define FOURS_H

#include <stdbool.h>
#include <string.h>

#include "rows.h"

enum {
    OUTPUTS = 64, /* of a panel */
    SIX = 6,      /* rows that are multiplied together */
    FOUR = 4,     /* bytes */
};

/* The weights of a product, padded to whole panels. Of codes: `scales * (codes - zero) weights + bias`. */
struct weights {
    const int8_t *panels;
    const int32_t *starts; /* start of the sums of codes: -zero times the sum of an output's weights */
    const float *scales, *bias;
    int64_t bytes, outputs; /* bytes of a row: one an input for codes, two for bf16 */
};

static inline __attribute__((always_inline)) __m512i plus_fours(
    __m512i sums, __m512i of_row, __m512i of_panel, const enum format format)
{
    if (format == CODES)
        return _mm512_dpbusd_epi32(sums, of_row, of_panel);
    return _mm512_castps_si512(plus_pairs(_mm512_castsi512_ps(sums), of_row, of_panel));
}

/* Six rows times the panel of outputs from `column` on; the results are integers for codes, floats for bf16. If
   `fetches`, the memory `ahead` is prefetched meanwhile, 16 bytes for each byte of a row. (The unrolled loops keep the
   sums in registers.) */
static inline __attribute__((always_inline)) void six_rows_of_fours(
    const struct weights *all, const uint8_t *const rows[SIX], long column, int32_t to[SIX][OUTPUTS],
    const char *ahead, const bool fetches, const enum format format)
{
    enum { VECTORS = OUTPUTS / LANES };
    const int8_t *panel = all->panels + column * all->bytes;
    __m512i sums[SIX][VECTORS];
#pragma GCC unroll 8
    for (int row = 0; row < SIX; row++)
#pragma GCC unroll 8
        for (int at = 0; at < VECTORS; at++)
            sums[row][at] = format == CODES ? _mm512_loadu_si512(all->starts + column + at * LANES)
                                          : _mm512_setzero_si512();
    for (long four = 0; four < all->bytes; four += FOUR) {
        __m512i some[VECTORS];
        if (fetches)
            _mm_prefetch(ahead + four * 16, _MM_HINT_T1);
#pragma GCC unroll 8
        for (int at = 0; at < VECTORS; at++)
            some[at] = _mm512_loadu_si512(panel + four * OUTPUTS + at * LANES * FOUR);
#pragma GCC unroll 8
        for (int row = 0; row < SIX; row++) {
            int32_t bytes;
            memcpy(&bytes, rows[row] + four, sizeof bytes);
#pragma GCC unroll 8
            for (int at = 0; at < VECTORS; at++)
                sums[row][at] = plus_fours(sums[row][at], _mm512_set1_epi32(bytes), some[at], format);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < SIX; row++)
#pragma GCC unroll 8
        for (int at = 0; at < VECTORS; at++)
            _mm512_storeu_si512(to[row] + at * LANES, sums[row][at]);
}

#endif
