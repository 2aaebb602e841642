/* Rows of numbers as they come from one product and go to the next.

   A row is fp32, bf16, or u8 codes around 128. Where rows have scales, a row's numbers are to be multiplied by its
   scale: so a product of codes need not be scaled in a pass of its own, since the next kernel reads it anyway. Between
   reading and writing a row is fp32, on the stack of its thread, where it stays in the first cache: 128 KB of it for
   the widest rows (`arguments.py`). */

#ifndef ROWS_H
#define ROWS_H

#include <string.h>

#include "vectors.h"

enum format { FP32, BF16, CODES };

enum {
    ZERO = 128,   /* the code of 0 */
    LEVELS = 127, /* of each sign */
    MOST_CODE = 255,
};

/* `scales` is given for codes that are written, and may be given for floats that are read. */
struct rows {
    void *at;
    float *scales;
    int64_t step; /* from one row to the next, in numbers */
    int64_t format;
};

static inline float scale_of(const struct rows *rows, long row)
{
    return rows->scales ? rows->scales[row] : 1.0f;
}

/* Bytes of a number in a format of floats. */
static inline long size_of(int64_t format)
{
    return format == FP32 ? sizeof(float) : sizeof(bf16);
}

/* Address of column `at` of a row of floats. */
static inline void *place(const struct rows *rows, long row, long at)
{
    return (char *)rows->at + (row * rows->step + at) * size_of(rows->format);
}

/* The lanes from column `at` on. Whole vectors take the plain instructions: masked stores are slow. */
#define ALL 0xffff

static inline __m512 load_floats(const float *from, __mmask16 lanes)
{
    return lanes == ALL ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(lanes, from);
}

static inline void store_floats(float *to, __mmask16 lanes, __m512 numbers)
{
    if (lanes == ALL)
        _mm512_storeu_ps(to, numbers);
    else
        _mm512_mask_storeu_ps(to, lanes, numbers);
}

static inline __m512 load_format(const void *from, int64_t format, __mmask16 lanes)
{
    if (format == FP32)
        return load_floats(from, lanes);
    return lanes == ALL ? widened(_mm256_loadu_si256(from)) : load_bf16(from, lanes);
}

static inline void store_format(void *to, int64_t format, __mmask16 lanes, __m512 numbers)
{
    if (format == FP32)
        store_floats(to, lanes, numbers);
    else if (lanes == ALL)
        _mm256_storeu_si256(to, narrowed(numbers));
    else
        store_bf16(to, lanes, numbers);
}

static inline __m512 load(const struct rows *rows, long row, long at, __mmask16 lanes)
{
    return load_format(place(rows, row, at), rows->format, lanes);
}

/* Store `steps` as codes around `zero`: rounded, and clamped to 0 and 255. NaN has no code: it comes out as 0, and the
   caller has to carry it some other way. */
static inline void store_codes(uint8_t *to, __mmask16 lanes, __m512 steps, int32_t zero)
{
    steps = _mm512_min_ps(_mm512_set1_ps(MOST_CODE), steps); /* beyond 32 bits a code would become negative */
    __m512i codes = _mm512_add_epi32(_mm512_cvtps_epi32(steps), _mm512_set1_epi32(zero));
    codes = _mm512_max_epi32(codes, _mm512_setzero_si512());
    __m128i bytes = _mm512_cvtusepi32_epi8(codes);
    if (lanes == ALL)
        _mm_storeu_si128((__m128i *)to, bytes);
    else
        _mm_mask_storeu_epi8(to, lanes, bytes);
}

/* The scale of a row comes from its largest magnitude, which gets the last code. Magnitudes are compared as bits, which
   order as the numbers do, with NaN above all others: so a NaN becomes the scale of its row. A maximum of floats would
   skip the NaN, and it would be lost. */
static inline __m512i no_magnitude(void)
{
    return _mm512_castps_si512(_mm512_set1_ps(1e-30f)); /* a row of zeros still gets a scale */
}

static inline __m512i larger(__m512i magnitudes, __m512 numbers)
{
    return _mm512_max_epu32(magnitudes, _mm512_castps_si512(_mm512_abs_ps(numbers)));
}

static inline float scale_by(__m512i magnitudes)
{
    uint32_t bits = _mm512_reduce_max_epu32(magnitudes);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    return largest / LEVELS;
}

/* Write a row of codes, and its scale. */
static inline void put_codes(const struct rows *rows, long row, const float *numbers, long width)
{
    __m512i magnitudes = no_magnitude();
    for (long at = 0; at < width; at += LANES)
        magnitudes = larger(magnitudes, load_floats(numbers + at, first_lanes(width - at)));
    float scale = scale_by(magnitudes);
    __m512 share = _mm512_set1_ps(1.0f / scale);
    uint8_t *to = (uint8_t *)rows->at + row * rows->step;
    for (long at = 0; at < width; at += LANES) {
        __mmask16 lanes = first_lanes(width - at);
        store_codes(to + at, lanes, _mm512_mul_ps(load_floats(numbers + at, lanes), share), ZERO);
    }
    rows->scales[row] = scale;
}

/* Write a row in the format that its rows have. */
static inline void put_row(const struct rows *rows, long row, const float *numbers, long width)
{
    if (rows->format == CODES) {
        put_codes(rows, row, numbers, width);
        return;
    }
    for (long at = 0; at < width; at += LANES) {
        __mmask16 lanes = first_lanes(width - at);
        store_format(place(rows, row, at), rows->format, lanes, load_floats(numbers + at, lanes));
    }
}

#endif
