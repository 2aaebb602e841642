/* The product that makes values, keys and queries, split: heads of keys and queries normed, and turned to
   their positions. In fp32, rounded once.

   `product` is rows of values, keys and queries side by side; each goes to a room of its own, and may be
   missing on both sides. A head x becomes turn * (x / sqrt(mean(x^2) + eps) * norm), where the numbers of a
   head are complex ones, two by two, and so are the turns, `[rows, dim / 2]`. */

#include "rows.h"

/* Where heads go: a room is `[groups, rows, share heads side by side]`, in steps of any size. */
struct room {
    void *at;
    int64_t row_step, group_step, heads, share, form;
};

struct split {
    struct rows product;
    struct room values, keys, queries;
    const float *norms; /* of the heads of keys, then of queries: [heads, dim] */
    const float *turns; /* [rows, dim] */
    double eps;
    int64_t count, dim;
};

static inline void *place_of(const struct room *room, long row, long head, long dim)
{
    long group = head / room->share, beside = head % room->share;
    long at = row * room->row_step + group * room->group_step + beside * dim;
    return (char *)room->at + at * size_of(room->form);
}

static inline void copy(const struct split *all, long row, long head)
{
    const __m512 scale = _mm512_set1_ps(scale_of(&all->product, row));
    const struct room *room = &all->values;
    char *to = place_of(room, row, head, all->dim);
    for (long at = 0; at < all->dim; at += LANES) {
        __mmask16 lanes = first_lanes(all->dim - at);
        __m512 some = _mm512_mul_ps(load(&all->product, row, head * all->dim + at, lanes), scale);
        store_form(to + at * size_of(room->form), room->form, lanes, some);
    }
}

/* Head `head` of a room; `turned` counts those of keys and queries together. */
static inline void turn(const struct split *all, long row, const struct room *room, long head, long turned)
{
    const __m512 scale = _mm512_set1_ps(scale_of(&all->product, row));
    const float *norm = all->norms + turned * all->dim, *turns = all->turns + row * all->dim;
    const long from = (all->values.heads + turned) * all->dim;
    char *to = place_of(room, row, head, all->dim);
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
        store_form(to + at * size_of(room->form), room->form, lanes, some);
    }
}

static void one_row(const void *data, long row)
{
    const struct split all = *(const struct split *)data; /* its own: no store changes it */
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

EXPORT void native_split(const struct split *all)
{
    over_rows(one_row, all, all->count, width_of(all));
}
