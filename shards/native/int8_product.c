/* Products of codes: rows of u8 codes around 128, each row with its scale, times weights in s8, each output with its
   scale. Sums are exact; the result is bf16, scaled, with a bias where given. `native_quantise` quantises weights by
   output and lays them out in panels in one pass. */

#include "laying.h"
#include "panels.h"

struct quantising {
    struct rows rows;
    struct {
        int8_t *panels;
        int32_t *starts;
        float *scales;
    } to;
    int64_t width, first; /* inputs of a row; output of the first row */
};

static inline float scale_of_row(const struct rows *rows, long row, long width)
{
    __m512i magnitudes = no_magnitude();
    for (long at = 0; at < width; at += LANES)
        magnitudes = larger(magnitudes, load(rows, row, at, first_lanes(width - at)));
    return scale_by(magnitudes);
}

static inline __m128i sixteen_codes(const struct rows *rows, long row, long at, long width, __m512 share)
{
    if (at >= width)
        return _mm_setzero_si128();
    __m512 some = load(rows, row, at, first_lanes(width - at));
    return _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(some, share)));
}

/* Codes of 64 numbers of a row from `at` on; zeros beyond its end. */
static inline __m512i codes_of(const struct rows *rows, long row, long at, long width, float share)
{
    __m128i codes[FOUR];
    for (int part = 0; part < FOUR; part++)
        codes[part] = sixteen_codes(rows, row, at + part * LANES, width, _mm512_set1_ps(share));
    return _mm512_loadu_si512(codes);
}

/* Turn sixteen rows into a quarter of a panel. */
static void quantise_some(void *data, long part)
{
    const struct quantising all = *(const struct quantising *)data;
    const long row = part * LANES, output = all.first + row;
    int8_t *quarter = quarter_of(all.to.panels, output, all.width);
    float shares[LANES];
    __m512i sums[LANES];
    for (long at = 0; at < LANES; at++) {
        float scale = scale_of_row(&all.rows, row + at, all.width);
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
        put_fours(block, quarter, from, all.width);
    }
    for (long at = 0; at < LANES; at++)
        all.to.starts[output + at] = -ZERO * _mm512_reduce_add_epi32(sums[at]);
}

/* Quantise and lay out `count` rows of weights, a multiple of 16. */
EXPORT void KERNEL(native_quantise)(struct quantising *all, int64_t count)
{
    in_parts(quantise_some, all, count / LANES);
}

static void some_panels_of_codes(void *data, long part)
{
    some_panels(data, part, CODES);
}

#ifdef __AMX_TILE__
static void some_tiles_of_codes(void *data, long part)
{
    some_panels_of_tiles(data, part, CODES);
}
#endif

EXPORT void KERNEL(native_int8_product)(struct product *all)
{
#ifdef __AMX_TILE__
    if (in_tiles(some_tiles_of_codes, all))
        return;
#endif
    in_panels(some_panels_of_codes, all);
}
