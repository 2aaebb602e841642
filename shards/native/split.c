/* A product split into values, keys and queries; heads of keys and queries are normed and rotated to their positions.
   In fp32, rounded once.

   `product` holds values, keys and queries side by side in a row; each goes to a buffer of its own. One that is missing
   in the product has no buffer. A head x becomes turn * (x / sqrt(mean(x^2) + eps) * norm); the numbers of a head are
   complex ones, two by two, and so are the turns, `[rows, dim / 2]`. */

#include "rows.h"

/* The destination of heads: `[groups, rows, share heads side by side]`, in steps of any size. */
struct buffer {
    void *at;
    int64_t row_step, group_step, heads, share, format;
};

struct split {
    struct rows product;
    struct buffer values, keys, queries;
    const float *norms; /* of the heads of keys, then of queries: [heads, dim] */
    const float *turns; /* [rows, dim] */
    double eps;
    int64_t count, dim;
};

static inline void *place_of(const struct buffer *buffer, long row, long head, long dim)
{
    long group = head / buffer->share, beside = head % buffer->share;
    long at = row * buffer->row_step + group * buffer->group_step + beside * dim;
    return (char *)buffer->at + at * size_of(buffer->format);
}

static inline void copy(const struct split *all, long row, long head)
{
    const __m512 scale = _mm512_set1_ps(scale_of(&all->product, row));
    const struct buffer *buffer = &all->values;
    char *to = place_of(buffer, row, head, all->dim);
    for (long at = 0; at < all->dim; at += LANES) {
        __mmask16 lanes = first_lanes(all->dim - at);
        __m512 some = _mm512_mul_ps(load(&all->product, row, head * all->dim + at, lanes), scale);
        store_format(to + at * size_of(buffer->format), buffer->format, lanes, some);
    }
}

/* Head `head` of a buffer; `turned` counts the heads of keys and queries together. */
static inline void turn(const struct split *all, long row, const struct buffer *buffer, long head, long turned)
{
    const __m512 scale = _mm512_set1_ps(scale_of(&all->product, row));
    const float *norm = all->norms + turned * all->dim, *turns = all->turns + row * all->dim;
    const long from = (all->values.heads + turned) * all->dim;
    char *to = place_of(buffer, row, head, all->dim);
    __m512 squares = _mm512_setzero_ps();
    for (long at = 0; at < all->dim; at += LANES) {
        __m512 some = _mm512_mul_ps(load(&all->product, row, from + at, first_lanes(all->dim - at)), scale);
        squares = _mm512_fmadd_ps(some, some, squares);
    }
    float square = _mm512_reduce_add_ps(squares) / all->dim;
    const __m512 over = _mm512_mul_ps(scale, _mm512_set1_ps(1.0f / __builtin_sqrtf(square + (float)all->eps)));
    for (long at = 0; at < all->dim; at += LANES) {
        __mmask16 lanes = first_lanes(all->dim - at);
        __m512 some = _mm512_mul_ps(load(&all->product, row, from + at, lanes), over);
        some = _mm512_mul_ps(some, load_floats(norm + at, lanes));
        __m512 angles = load_floats(turns + at, lanes);
        __m512 across = _mm512_mul_ps(_mm512_permute_ps(some, 0xb1), _mm512_movehdup_ps(angles));
        some = _mm512_fmaddsub_ps(some, _mm512_moveldup_ps(angles), across);
        store_format(to + at * size_of(buffer->format), buffer->format, lanes, some);
    }
}

static void one_row(const void *data, long row)
{
    const struct split all = *(const struct split *)data; /* a local copy: no store changes it */
    for (long head = 0; head < all.values.heads; head++)
        copy(&all, row, head);
    for (long head = 0; head < all.keys.heads; head++)
        turn(&all, row, &all.keys, head, head);
    for (long head = 0; head < all.queries.heads; head++)
        turn(&all, row, &all.queries, head, all.keys.heads + head);
}

static inline long width_of(const struct split *all)
{
    return (all->values.heads + all->keys.heads + all->queries.heads) * all->dim;
}

EXPORT void KERNEL(native_split)(const struct split *all)
{
    over_rows(one_row, all, all->count, width_of(all));
}
