/* Products of codes by themselves: rows of u8 codes around 128, each row with its scale, times weights in s8, each
   output with its scale. Sums are exact; what comes out is bf16, scaled, with a bias where there is one.

   Threads take panels of weights, each of which stays in the second cache while all rows go through it: weights
   come from memory once, however few rows there are. Nothing depends on the number of rows, so no kernel is made
   for it. `native_lay_weights` quantises weights by output and puts them into panels in one pass. */

#include "codes.h"
#include "packing.h"

enum {
    MOST_ROWS = 256, /* that go through a panel before the next one: their codes stay in the second cache */
    PANELS = 2,      /* that a thread takes at a time */
    FOUR = 4,        /* codes that an instruction adds up */
};

/* -- weights, quantised and put into panels ---------------------------------------------------------- */

struct laying {
    struct rows rows;
    struct {
        int8_t *panels;
        int32_t *starts;
        float *scales;
    } to;
    int64_t width, first; /* of the rows; and the output that the first of them becomes */
};

static inline float largest_of_row(const struct rows *rows, long row, long width)
{
    __m512 largest = _mm512_set1_ps(1e-30f); /* a row of zeros keeps a scale */
    for (long at = 0; at < width; at += LANES)
        largest = _mm512_max_ps(largest, _mm512_abs_ps(load(rows, row, at, first_lanes(width - at))));
    return _mm512_reduce_max_ps(largest);
}

static inline __m128i sixteen_codes(const struct rows *rows, long row, long at, long width, __m512 share)
{
    if (at >= width)
        return _mm_setzero_si128();
    __m512 some = load(rows, row, at, first_lanes(width - at));
    return _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(some, share)));
}

/* The codes of 64 numbers of a row from `at` on; zeros beyond its end. */
static inline __m512i codes_of(const struct rows *rows, long row, long at, long width, float share)
{
    __m128i codes[FOUR];
    for (int part = 0; part < FOUR; part++)
        codes[part] = sixteen_codes(rows, row, at + part * LANES, width, _mm512_set1_ps(share));
    return _mm512_loadu_si512(codes);
}

/* Sixteen rows become a quarter of a panel. */
static void lay_some(void *data, long part)
{
    const struct laying all = *(const struct laying *)data;
    const long row = part * LANES, output = all.first + row;
    int8_t *quarter = all.to.panels + output / OUTPUTS * OUTPUTS * all.width + output % OUTPUTS * FOUR;
    float shares[LANES];
    __m512i sums[LANES];
    for (long at = 0; at < LANES; at++) {
        float scale = largest_of_row(&all.rows, row + at, all.width) / LEVELS;
        all.to.scales[output + at] = scale;
        shares[at] = 1.0f / scale;
        sums[at] = _mm512_setzero_si512();
    }
    for (long from = 0; from < all.width; from += LANES * FOUR) {
        __m512i block[LANES];
        for (long at = 0; at < LANES; at++) {
            block[at] = codes_of(&all.rows, row + at, from, all.width, shares[at]);
            sums[at] = _mm512_dpbusd_epi32(sums[at], _mm512_set1_epi8(1), block[at]);
        }
        transposed(block);
        for (long at = 0; at < LANES && from + at * FOUR < all.width; at++)
            _mm512_storeu_si512(quarter + (from + at * FOUR) * OUTPUTS, block[at]);
    }
    for (long at = 0; at < LANES; at++)
        all.to.starts[output + at] = -ZERO * _mm512_reduce_add_epi32(sums[at]);
}

/* Lay out `count` rows of weights, a multiple of 16. */
EXPORT void native_lay_weights(struct laying *all, int64_t count)
{
    in_parts(lay_some, all, count / LANES);
}

/* -- the product ------------------------------------------------------------------------------------- */

struct coded_product {
    const uint8_t *codes; /* [count, inputs] */
    const float *row_scales;
    struct weights weights; /* without bias where there is none */
    bf16 *out;              /* [count, outputs] */
    int64_t count;
};

static inline void give_row(const struct coded_product *all, long row, long column, const int32_t *sums)
{
    const __m512 row_scale = _mm512_set1_ps(all->row_scales[row]);
    bf16 *out = all->out + row * all->weights.outputs + column;
    for (long at = 0; at < OUTPUTS; at += LANES) {
        __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + at)), row_scale);
        sum = _mm512_mul_ps(sum, _mm512_loadu_ps(all->weights.scales + column + at));
        if (all->weights.bias)
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(all->weights.bias + column + at));
        _mm256_storeu_si256((__m256i *)(out + at), (__m256i)_mm512_cvtneps_pbh(sum));
    }
}

/* Rows from `first` to `last` times a panel. The next one, if there is one, is fetched with the first groups. */
static void some_rows_times_panel(const struct coded_product *all, long first, long last, long column)
{
    const long share = FOUR * FOUR * all->weights.inputs; /* bytes that a group fetches */
    const char *panel = (const char *)all->weights.panels + column * all->weights.inputs;
    const char *end = panel + OUTPUTS * all->weights.inputs, *ahead = end;
    const char *last_ahead = column + OUTPUTS < all->weights.outputs ? end + (end - panel) : end;
    int32_t sums[SIX][OUTPUTS] __attribute__((aligned(64)));
    const uint8_t *rows[SIX];
    for (; first < last; first += SIX) {
        for (long row = 0; row < SIX; row++)
            rows[row] = all->codes + least(first + row, last - 1) * all->weights.inputs;
        if (ahead < last_ahead)
            six_rows_and_fetch(&all->weights, rows, column, sums, ahead, true);
        else
            six_rows(&all->weights, rows, column, sums);
        ahead += share;
        for (long row = 0; row < SIX && first + row < last; row++)
            give_row(all, first + row, column, sums[row]);
    }
}

static inline long blocks_of(const struct coded_product *all)
{
    return (all->count + MOST_ROWS - 1) / MOST_ROWS;
}

static inline long first_of(const struct coded_product *all, long block)
{
    return all->count * block / blocks_of(all) / SIX * SIX;
}

static inline long parts_of_block(const struct coded_product *all)
{
    return (all->weights.outputs / OUTPUTS + PANELS - 1) / PANELS;
}

/* Some panels for one block of rows; all panels of a block come after each other. */
static void some_panels(void *data, long part)
{
    const struct coded_product all = *(const struct coded_product *)data; /* its own: no store changes it */
    const long parts = parts_of_block(&all), block = part / parts;
    const long last = block + 1 < blocks_of(&all) ? first_of(&all, block + 1) : all.count;
    const long from = part % parts * PANELS * OUTPUTS, to = least(from + PANELS * OUTPUTS, all.weights.outputs);
    for (long column = from; column < to; column += OUTPUTS)
        some_rows_times_panel(&all, first_of(&all, block), last, column);
}

EXPORT void native_coded_product(struct coded_product *all)
{
    in_parts(some_panels, all, blocks_of(all) * parts_of_block(all));
}
