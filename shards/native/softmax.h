/* The softmax of a row of scores that come in blocks: see `Online normalizer calculation for softmax`, Milakov and
   Gimelshein, 2018. */

#ifndef SOFTMAX_H
#define SOFTMAX_H

#include <math.h>

#include "vectors.h"

struct row {
    float largest; /* of the scores so far; -infinity before the first */
    float sum;     /* of e^(score - largest) */
};

/* The visible lanes of the scores from `at` on: those from `unseen` on and before `seen`. */
static inline __mmask16 seen_lanes(long at, long unseen, long seen)
{
    return (__mmask16)(first_lanes(seen - at) & ~first_lanes(unseen - at));
}

static inline float largest_of(const float *scores, long unseen, long seen, float largest)
{
    __m512 most = _mm512_set1_ps(largest);
    for (long at = 0; at < seen; at += LANES) {
        __mmask16 lanes = seen_lanes(at, unseen, seen);
        most = _mm512_mask_max_ps(most, lanes, most, _mm512_maskz_loadu_ps(lanes, scores + at));
    }
    return _mm512_reduce_max_ps(most);
}

/* Turn a block of scores into weights in bf16, up to `count`, a multiple of 16; the first `unseen` and those from
   `seen` on become zeros. Return the factor for all earlier weights of the row. */
static inline float weights_of(
    struct row *row, const float *scores, long unseen, long seen, long count, bf16 *weights)
{
    float largest = largest_of(scores, unseen, seen, row->largest);
    __m512 sum = _mm512_setzero_ps(), over = _mm512_set1_ps(largest);
    for (long at = 0; at < count; at += LANES) {
        __mmask16 lanes = seen_lanes(at, unseen, seen);
        __m512 power = exp_of(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, scores + at), over));
        power = _mm512_maskz_mov_ps(lanes, power);
        sum = _mm512_add_ps(sum, power);
        store_bf16(weights + at, 0xffff, power);
    }
    float shrink = row->largest == largest ? 1.0f : expf(row->largest - largest);
    row->sum = row->sum * shrink + _mm512_reduce_add_ps(sum);
    row->largest = largest;
    return shrink;
}

#endif
