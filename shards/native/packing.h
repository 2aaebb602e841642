/* Keys and values packed for `small_product.h`, from rows that lie anywhere. */

#ifndef PACKING_H
#define PACKING_H

#include "small_product.h"
#include "transposed.h"

/* Pack `count` keys, a multiple of 16, of `dim` elements each as columns of panels; a panel is `step` pairs after the
   one before. Elements are padded with zeros to a multiple of 32. */
static inline void pack_keys(const bf16 *const *keys, long count, long dim, long step, pair *to)
{
    for (long first = 0; first < count; first += LANES) {
        pair *columns = to + first / PANEL * step + first % PANEL;
        for (long at = 0; at < dim / 2; at += LANES) {
            __mmask16 lanes = first_lanes(dim / 2 - at);
            __m512i block[LANES];
            for (int row = 0; row < LANES; row++)
                block[row] = _mm512_maskz_loadu_epi32(lanes, keys[first + row] + 2 * at);
            transposed(block);
            for (int row = 0; row < LANES; row++)
                _mm512_storeu_si512(columns + (at + row) * PANEL, block[row]);
        }
    }
}

/* Pack `count` values, an even number, of `dim` elements each, two rows in the pairs of one; a panel is `step` pairs
   after the one before. Elements are padded with zeros to a multiple of 16. */
static inline void pack_values(const bf16 *const *values, long count, long dim, long step, pair *to)
{
    for (long at = 0; at < dim; at += LANES) {
        __mmask16 lanes = first_lanes(dim - at);
        pair *columns = to + at / PANEL * step + at % PANEL;
        for (long row = 0; row < count; row += 2, columns += PANEL) {
            __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, values[row] + at));
            __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, values[row + 1] + at));
            _mm512_storeu_si512(columns, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
    }
}

#endif
