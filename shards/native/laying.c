/* Weights laid out in panels byte by byte, in any format. */

#include "laying.h"

struct laying {
    const char *rows; /* [count, bytes] */
    int8_t *panels;
    int64_t bytes, first; /* bytes of a row, a multiple of 4; output of the first row */
};

static void lay_some(void *data, long part)
{
    const struct laying all = *(const struct laying *)data;
    const char *rows = all.rows + part * LANES * all.bytes;
    int8_t *quarter = quarter_of(all.panels, all.first + part * LANES, all.bytes);
    for (long from = 0; from < all.bytes; from += LANES * FOUR) {
        __mmask16 lanes = first_lanes((all.bytes - from) / FOUR);
        __m512i block[LANES];
        for (long at = 0; at < LANES; at++)
            block[at] = _mm512_maskz_loadu_epi32(lanes, rows + at * all.bytes + from);
        put_fours(block, quarter, from, all.bytes);
    }
}

/* Lay out `count` rows, a multiple of 16. */
EXPORT void KERNEL(native_lay)(struct laying *all, int64_t count)
{
    in_parts(lay_some, all, count / LANES);
}
