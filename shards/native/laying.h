/* Sixteen rows of weights become a quarter of a panel, four bytes of each at a time: see `fours.h`. */

#ifndef LAYING_H
#define LAYING_H

#include "fours.h"
#include "transposed.h"

/* Address of the quarter that takes the outputs from `output` on. */
static inline int8_t *quarter_of(int8_t *panels, long output, long bytes)
{
    return panels + output / OUTPUTS * OUTPUTS * bytes + output % OUTPUTS * FOUR;
}

/* Put 64 bytes of each of sixteen rows, from byte `from` on, into a quarter; `block` is overwritten. */
static inline void put_fours(__m512i block[LANES], int8_t *quarter, long from, long bytes)
{
    transposed(block);
    for (long at = 0; at < LANES && from + at * FOUR < bytes; at++)
        _mm512_storeu_si512(quarter + (from + at * FOUR) * OUTPUTS, block[at]);
}

#endif
