/* Products of rows in bf16 with weights in bf16: sums are fp32, what comes out is bf16, with a bias where there is
   one. `native_lay_wide` puts weights into panels. */

#include "packing.h"
#include "panels.h"

struct laying {
    const bf16 *rows; /* [count, bytes / 2] */
    int8_t *panels;
    int64_t bytes, first; /* of a row; and the output that the first of them becomes */
};

/* Sixteen rows become a quarter of a panel. */
static void lay_some(void *data, long part)
{
    const struct laying all = *(const struct laying *)data;
    const long row = part * LANES, output = all.first + row;
    int8_t *quarter = all.panels + output / OUTPUTS * OUTPUTS * all.bytes + output % OUTPUTS * FOUR;
    for (long from = 0; from < all.bytes; from += LANES * FOUR) {
        __mmask16 lanes = first_lanes((all.bytes - from) / FOUR);
        __m512i block[LANES];
        for (long at = 0; at < LANES; at++)
            block[at] = _mm512_maskz_loadu_epi32(lanes, (const char *)all.rows + (row + at) * all.bytes + from);
        transposed(block);
        for (long at = 0; at < LANES && from + at * FOUR < all.bytes; at++)
            _mm512_storeu_si512(quarter + (from + at * FOUR) * OUTPUTS, block[at]);
    }
}

/* Lay out `count` rows of weights, a multiple of 16. */
EXPORT void native_lay_wide(struct laying *all, int64_t count)
{
    in_parts(lay_some, all, count / LANES);
}

static void some_panels_of_bf16(void *data, long part)
{
    some_panels(data, part, BF16);
}

EXPORT void native_wide_product(struct product *all)
{
    in_panels(some_panels_of_bf16, all);
}
