/* A small matrix product, the heart of attention: C = A B, or C += A B, with A and B in bf16, C in fp32.

   The instruction takes pairs: it adds a0 b0 + a1 b1 to each of sixteen sums. So a row of A, which is not rearranged,
   is read as pairs of neighbours, and each pair goes to all sixteen lanes. B lies in panels of 64 columns,
   `[pairs][64]`; an element is a pair from two rows that follow one another. Four rows of A times a panel keep sixteen
   sums in registers, enough to begin an instruction in every half cycle.

   Steps of A are in its elements, those of B in pairs. */

#ifndef SMALL_PRODUCT_H
#define SMALL_PRODUCT_H

#include <stdbool.h>
#include <string.h>

#include "vectors.h"

enum { PANEL = 64, GROUP = 4 };

typedef uint32_t pair; /* two bf16 that are multiplied with two others; the products are added */

/* The pair that begins at an element, in all sixteen lanes. */
static inline __m512i each_lane(const bf16 *from)
{
    int both;
    memcpy(&both, from, sizeof both);
    return _mm512_set1_epi32(both);
}

/* GROUP rows of `a`, `a_step` apart, times `vectors` times 16 columns of one panel. */
static inline __attribute__((always_inline)) void few_columns(
    const bf16 *a, long a_step, const pair *panel, long pairs, float *c, long c_step, bool adds,
    const int vectors)
{
    __m512 sums[GROUP][PANEL / LANES];
#pragma GCC unroll 8
    for (int row = 0; row < GROUP; row++)
#pragma GCC unroll 8
        for (int at = 0; at < vectors; at++)
            sums[row][at] = adds ? _mm512_loadu_ps(c + row * c_step + at * LANES) : _mm512_setzero_ps();
    for (long k = 0; k < pairs; k++) {
        __m512i b[PANEL / LANES];
#pragma GCC unroll 8
        for (int at = 0; at < vectors; at++)
            b[at] = _mm512_loadu_si512(panel + k * PANEL + at * LANES);
#pragma GCC unroll 8
        for (int row = 0; row < GROUP; row++) {
            __m512i each = each_lane(a + row * a_step + 2 * k);
#pragma GCC unroll 8
            for (int at = 0; at < vectors; at++)
                sums[row][at] = plus_pairs(sums[row][at], each, b[at]);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < GROUP; row++)
#pragma GCC unroll 8
        for (int at = 0; at < vectors; at++)
            _mm512_storeu_ps(c + row * c_step + at * LANES, sums[row][at]);
}

/* GROUP rows of `a` times the first `columns` (rounded up to 16) of one panel. */
static inline void group_times_panel(
    const bf16 *a, long a_step, const pair *panel, long pairs, float *c, long c_step, bool adds, long columns)
{
    switch (rounded_up(columns, LANES) / LANES) {
    case 1: few_columns(a, a_step, panel, pairs, c, c_step, adds, 1); break;
    case 2: few_columns(a, a_step, panel, pairs, c, c_step, adds, 2); break;
    case 3: few_columns(a, a_step, panel, pairs, c, c_step, adds, 3); break;
    default: few_columns(a, a_step, panel, pairs, c, c_step, adds, 4); break;
    }
}

#ifdef __AMX_TILE__

enum { STRETCH = 2 * LANES }; /* elements of a row that are multiplied together */

/* Up to sixteen rows of `a` times `count` times 16 columns of one panel; tiles have the shape of as many rows. */
static inline __attribute__((always_inline)) void tile_columns(
    const bf16 *a, long a_step, const pair *panel, long pairs, float *c, long c_step, bool adds, const int count)
{
    const long step = PANEL * sizeof *panel, from = a_step * sizeof *a, to = c_step * sizeof *c;
    if (adds) {
        _tile_loadd(0, c, to);
        if (count > 1)
            _tile_loadd(1, c + LANES, to);
        if (count > 2)
            _tile_loadd(2, c + 2 * LANES, to);
        if (count > 3)
            _tile_loadd(3, c + 3 * LANES, to);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (long k = 0; k < pairs; k += LANES) {
        _tile_loadd(4, a + 2 * k, from);
        _tile_loadd(6, panel + k * PANEL, step);
        _tile_dpbf16ps(0, 4, 6);
        if (count > 1) {
            _tile_loadd(7, panel + k * PANEL + LANES, step);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (count > 2) {
            _tile_loadd(6, panel + k * PANEL + 2 * LANES, step);
            _tile_dpbf16ps(2, 4, 6);
        }
        if (count > 3) {
            _tile_loadd(7, panel + k * PANEL + 3 * LANES, step);
            _tile_dpbf16ps(3, 4, 7);
        }
    }
    _tile_stored(0, c, to);
    if (count > 1)
        _tile_stored(1, c + LANES, to);
    if (count > 2)
        _tile_stored(2, c + 2 * LANES, to);
    if (count > 3)
        _tile_stored(3, c + 3 * LANES, to);
}

/* `rows` of `a`, for which tiles are shaped, times `columns` of `b`, whose panels are `b_step` pairs apart. */
static inline void times_panels(
    const bf16 *a, long a_step, const pair *b, long b_step, long pairs, float *c, long c_step, bool adds,
    long rows, long columns)
{
    (void)rows;
    for (long first = 0; first < columns; first += PANEL, b += b_step, c += PANEL)
        switch (least(rounded_up(columns - first, LANES) / LANES, PANEL / LANES)) {
        case 1: tile_columns(a, a_step, b, pairs, c, c_step, adds, 1); break;
        case 2: tile_columns(a, a_step, b, pairs, c, c_step, adds, 2); break;
        case 3: tile_columns(a, a_step, b, pairs, c, c_step, adds, 3); break;
        default: tile_columns(a, a_step, b, pairs, c, c_step, adds, 4); break;
        }
}

#else

enum { STRETCH = LANES };

/* `rows` of `a`, a multiple of GROUP, times `columns` of `b`, whose panels are `b_step` pairs apart. */
static inline void times_panels(
    const bf16 *a, long a_step, const pair *b, long b_step, long pairs, float *c, long c_step, bool adds,
    long rows, long columns)
{
    for (long first = 0; first < columns; first += PANEL)
        for (long row = 0; row < rows; row += GROUP)
            group_times_panel(a + row * a_step, a_step, b + first / PANEL * b_step, pairs,
                c + row * c_step + first, c_step, adds, columns - first);
}

#endif

#endif
