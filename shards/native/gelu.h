/* GELU, the exact one: x times the share of a normal distribution that is below x.

   That share is 1/2 plus an odd polynomial of x, fitted between -4.2 and 4.2 so that GELU is within 8e-5 (beyond, where
   it is 0 or x, within 3e-5 of |x|): that is a hundredth of the step of a code, in a fifth of the time of an
   exponential. */

#ifndef GELU_H
#define GELU_H

#include "vectors.h"

static inline __m512 gelu_of(__m512 x)
{
    static const float terms[] = {-9.61357993e-10f, 8.33012379e-08f, -3.13995884e-06f, 6.82673708e-05f,
        -9.60769248e-04f, 9.33748949e-03f, -6.55994266e-02f, 3.98508757e-01f};
    __m512 held = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-4.2f)), _mm512_set1_ps(4.2f));
    __m512 square = _mm512_mul_ps(held, held), sum = _mm512_set1_ps(terms[0]);
    for (unsigned at = 1; at < sizeof terms / sizeof *terms; at++)
        sum = _mm512_fmadd_ps(sum, square, _mm512_set1_ps(terms[at]));
    return _mm512_mul_ps(x, _mm512_fmadd_ps(sum, held, _mm512_set1_ps(0.5f)));
}

#endif
