/* The part of an int8 encoder layer between two attentions: see `encoder.py`.

   `native_project` turns states into codes, and these into queries, keys and values, head by head. `native_finish`
   takes the result of attention through the rest of the layer: a product and a norm, a product with GELU, a product
   and a norm. Rows are independent of each other, so a thread takes some rows through all steps, and the numbers
   between two steps stay in its second cache. These are fp32, or codes. Codes cannot represent NaN; a NaN is carried
   beside them, so that it comes out of the layer wherever it would in floats. (Behind the first norm it is in the
   states already, to which the second product is added.)

   Sizes: a thread needs about ROOM of its stack; or the bytes of SIX rows where these are more, since fewer rows are
   never taken together: 1.2 MB for the widest rows (`arguments.py`), and 128 KB for the norm of one. */

#include "gelu.h"
#include "near_product.h"
#include "normed.h"

enum {
    ROOM = 1 << 19, /* bytes */
    MOST = 96,      /* the most rows at a time */
};

/* The rows of each head follow one another: `[heads, count, dim]`, in the format of the states. */
struct project {
    struct rows states;
    void *out;
    const float *shares; /* by channel: codes are 128 + states * shares */
    const struct weights *weights;
    int64_t count, dim;
    int64_t first; /* the first output to compute, a multiple of OUTPUTS; those before it are not written */
};

struct norm {
    const float *weight, *bias;
    double eps;
};

/* Codes of the result of attention are 128 + attended; of the states behind the first norm 128 + states * shares; of
   GELU `zero` + GELU / `gelu`. */
struct finish {
    struct rows attended, states; /* states are changed in place */
    const struct weights *out, *up, *down;
    const float *shares;
    struct norm first, second;
    double gelu;
    int64_t zero, count;
};

/* The rows that one thread takes. */
struct share {
    long first, count;
};

static inline long groups_of(long rows)
{
    return (rows + SIX - 1) / SIX;
}

/* The number of shares for `rows` of `bytes` each: the same number for each thread. */
static inline long shares_of(long rows, long bytes)
{
    long most = groups_of(least(MOST, ROOM / bytes)), groups = groups_of(rows);
    return least(groups, rounded_up((groups + most - 1) / most, team_size()));
}

static inline struct share share_at(long rows, long shares, long at)
{
    long groups = groups_of(rows), first = groups * at / shares * SIX;
    return (struct share){first, least(rows, groups * (at + 1) / shares * SIX) - first};
}

/* Consumer: store rows of fp32. */
static void store_numbers(const void *to, long row, long column, const float *numbers, long count)
{
    float *out = place(to, row, column);
    for (long at = 0; at < count; at += LANES) {
        __mmask16 lanes = first_lanes(count - at);
        store_floats(out + at, lanes, load_floats(numbers + at, lanes));
    }
}

/* Consumer: store outputs by head. */
struct heads {
    const struct project *all;
    long first; /* row */
};

static void store_heads(const void *to, long row, long column, const float *numbers, long count)
{
    const struct heads *heads = to;
    long dim = heads->all->dim, output = heads->all->first + column, head = output / dim, at = output % dim;
    for (long done = 0, some; done < count; done += some, head++, at = 0) {
        some = least(dim - at, count - done);
        struct rows out = {heads->all->out, NULL, dim, heads->all->states.format};
        char *start = place(&out, head * heads->all->count + heads->first + row, at);
        for (long lane = 0; lane < some; lane += LANES) {
            __mmask16 lanes = first_lanes(some - lane);
            __m512 some_numbers = load_floats(numbers + done + lane, lanes);
            store_format(start + lane * size_of(out.format), out.format, lanes, some_numbers);
        }
    }
}

/* Consumer: store codes of GELU. */
struct grown {
    uint8_t *at;
    long width;
    float share;
    int32_t zero;
};

static void store_gelu(const void *to, long row, long column, const float *numbers, long count)
{
    const struct grown *grown = to;
    uint8_t *codes = grown->at + row * grown->width + column;
    for (long at = 0; at < count; at += LANES) {
        __mmask16 lanes = first_lanes(count - at);
        __m512 steps = _mm512_mul_ps(gelu_of(load_floats(numbers + at, lanes)), _mm512_set1_ps(grown->share));
        store_codes(codes + at, lanes, steps, grown->zero);
    }
}

/* Turn a share of rows into codes: numbers times the shares of their channels, where given. Fill `poisons`, see
   `times_weights`: zero times a number is 0, and zero times NaN or infinity is NaN. */
static void take_codes(
    const struct rows *rows, struct share share, const float *shares, long width, uint8_t *codes, float *poisons)
{
    for (long row = 0; row < share.count; row++) {
        __m512 nothing = _mm512_setzero_ps();
        for (long at = 0; at < width; at += LANES) {
            __mmask16 lanes = first_lanes(width - at);
            __m512 steps = load(rows, share.first + row, at, lanes);
            if (shares)
                steps = _mm512_mul_ps(steps, load_floats(shares + at, lanes));
            nothing = _mm512_fmadd_ps(steps, _mm512_setzero_ps(), nothing);
            store_codes(codes + row * width + at, lanes, steps, ZERO);
        }
        poisons[row] = _mm512_reduce_add_ps(nothing);
    }
}

static struct rows from_row(const struct rows *rows, long first)
{
    return (struct rows){place(rows, first, 0), NULL, rows->step, rows->format};
}

struct work {
    const void *what;
    long shares;
};

static struct weights from_output(const struct weights *all, long first)
{
    return (struct weights){all->panels + first * all->bytes, all->starts + first, all->scales + first,
        all->bias + first, all->bytes, all->outputs - first};
}

static void project_some(void *data, long at)
{
    const struct work *work = data;
    const struct project *all = work->what;
    struct share share = share_at(all->count, work->shares, at);
    long width = all->weights->bytes;
    uint8_t codes[share.count * width] __attribute__((aligned(64)));
    float poisons[MOST];
    struct heads out = {all, share.first};
    struct weights wanted = from_output(all->weights, all->first);
    take_codes(&all->states, share, all->shares, width, codes, poisons);
    times_weights(codes, width, poisons, share.count, &wanted, store_heads, &out);
}

static void finish_some(void *data, long at)
{
    const struct work *work = data;
    const struct finish *all = work->what;
    struct share share = share_at(all->count, work->shares, at);
    long width = all->out->outputs, wide = all->up->outputs;
    uint8_t codes[share.count * width] __attribute__((aligned(64)));
    uint8_t grown_codes[share.count * wide] __attribute__((aligned(64)));
    float numbers[share.count * width] __attribute__((aligned(64))), poisons[MOST];
    struct rows product = {numbers, NULL, width, FP32}, states = from_row(&all->states, share.first);
    struct grown grown = {grown_codes, wide, 1.0f / (float)all->gelu, (int32_t)all->zero};
    struct normed norm = {product, states, states, all->first.weight, all->first.bias, all->shares, codes,
        all->first.eps, share.count, width};

    take_codes(&all->attended, share, NULL, width, codes, poisons);
    times_weights(codes, width, poisons, share.count, all->out, store_numbers, &product);
    norm_rows(&norm);
    times_weights(codes, width, NULL, share.count, all->up, store_gelu, &grown);
    times_weights(grown_codes, wide, NULL, share.count, all->down, store_numbers, &product);
    norm = (struct normed){product, states, states, all->second.weight, all->second.bias, NULL, NULL,
        all->second.eps, share.count, width};
    norm_rows(&norm);
}

EXPORT void KERNEL(native_project)(const struct project *all)
{
    struct work work = {all, shares_of(all->count, all->weights->bytes)};
    in_parts(project_some, &work, work.shares);
}

EXPORT void KERNEL(native_finish)(const struct finish *all)
{
    long bytes = all->up->outputs + all->out->outputs * (long)(1 + sizeof(float));
    struct work work = {all, shares_of(all->count, bytes)};
    in_parts(finish_some, &work, work.shares);
}
