/* Sixteen floats at a time: between bf16 and fp32, and e to the power of them. */

#ifndef VECTORS_H
#define VECTORS_H

#include <immintrin.h>

#include "native.h"

enum { LANES = 16 };

/* The first `count` lanes: all of them from LANES on, none up to 0. */
static inline __mmask16 first_lanes(long count)
{
    return count >= LANES ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

static inline __m512 widened(__m256i halves)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline __m512 load_bf16(const bf16 *from, __mmask16 lanes)
{
    return widened(_mm256_maskz_loadu_epi16(lanes, from));
}

/* Round to bf16, to the nearest, ties to even. */
static inline __m256i narrowed(__m512 values)
{
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(values);
#else
    const __m512i half = _mm512_set1_epi32(0x7fff), quiet = _mm512_set1_epi32(0x7fc00000);
    __m512i bits = _mm512_castps_si512(values), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, half)); /* may carry into the exponent */
    rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q), quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
#endif
}

/* Add the products of sixteen pairs of bf16 with sixteen others to sixteen sums, in fp32. */
static inline __m512 plus_pairs(__m512 sums, __m512i one, __m512i other)
{
#ifdef __AVX512BF16__
    return _mm512_dpbf16_ps(sums, (__m512bh)one, (__m512bh)other);
#else
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    __m512 first = _mm512_castsi512_ps(_mm512_slli_epi32(one, 16)), second = _mm512_castsi512_ps(_mm512_and_si512(one, upper));
    sums = _mm512_fmadd_ps(first, _mm512_castsi512_ps(_mm512_slli_epi32(other, 16)), sums);
    return _mm512_fmadd_ps(second, _mm512_castsi512_ps(_mm512_and_si512(other, upper)), sums);
#endif
}

static inline void store_bf16(bf16 *to, __mmask16 lanes, __m512 values)
{
    _mm256_mask_storeu_epi16(to, lanes, narrowed(values));
}

/* e^x to 2 units in the last place; 0 below about -104, infinite above about 89, NaN for NaN.

   x = n log 2 + r with |r| <= log 2 / 2: e^r by its Taylor series, and n goes into the exponent. log 2 is subtracted in
   two parts; the first part times n is exact. x is clamped to bounds where the result is 0 or infinite anyway, so that
   no infinity is subtracted from another. (`max` and `min` return the second operand if one of the two is NaN.) */
static inline __m512 exp_of(__m512 x)
{
    const __m512 log2e = _mm512_set1_ps(1.44269504f);
    const __m512 log2_high = _mm512_set1_ps(0.693359375f);
    const __m512 log2_low = _mm512_set1_ps(-2.12194440e-4f);
    x = _mm512_max_ps(_mm512_set1_ps(-150.0f), x);
    x = _mm512_min_ps(_mm512_set1_ps(150.0f), x);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, log2e), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, log2_high, x);
    r = _mm512_fnmadd_ps(n, log2_low, r);
    __m512 sum = _mm512_set1_ps(1.0f / 720);
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 120));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 24));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 6));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(0.5f));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(sum, n);
}

#endif
