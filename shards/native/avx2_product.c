/* Products of rows in fp32 with weights in int8, for CPUs with AVX2 and without AVX-512.

   Weights have a scale for each output, and rows become codes, each row with a scale. Without an instruction for bytes
   codes have 16 bits: such codes are multiplied as fast as bytes here, and lose nothing that fp32 would keep of weights
   in int8. One instruction multiplies sixteen codes by sixteen weights and adds the products in pairs, in 32 bits; so it
   does twice the work of one in fp32. With AVX-VNNI codes are bytes around 128, and one instruction multiplies 32 of
   them and adds the products in fours. Sums are exact: `levels_of` leaves room for the largest that a row can have.

   Weights lie in panels of 16 outputs, `[groups][16][GROUP]`, a group being the inputs that are added by an instruction.
   Six rows times a panel keep twelve sums in registers. A thread takes four panels: they stay in its second cache while
   all rows go through them. This file is compiled for AVX2 and must not include headers that need more. */

#include <immintrin.h>
#include <string.h>

#include "native.h"

enum {
    EIGHT = 8,        /* numbers of a register */
    TOGETHER = 6,     /* rows that are multiplied together */
    WIDE = 16,        /* outputs of a panel */
    TAKEN = 4 * WIDE, /* outputs that a thread takes at a time */
    LEAST_ROWS = 48,  /* that a thread takes at a time, where others would be idle */
    WEIGHT_LEVELS = 127,
};

#ifdef __AVXVNNI__
typedef uint8_t code;
enum { GROUP = 4, CODE_LEVELS = 127, ZERO = 128 }; /* the code of 0 */
#else
typedef int16_t code;
enum { GROUP = 2, CODE_LEVELS = 32767, ZERO = 0 };
#endif

/* Weights `scales * codes`, padded with zeros to whole panels and to whole groups of inputs. */
struct bytes {
    int8_t *panels;
    int32_t *starts; /* start of the sums: -ZERO times the sum of an output's codes */
    float *scales;
    const float *bias; /* or NULL */
    int64_t inputs, outputs;
};

struct avx2_product {
    const float *rows; /* [count, inputs], each `step` numbers after the one before */
    int64_t step, count;
    code *codes;    /* room for [count, wide_of(inputs)] */
    float *scales;  /* room for one of each row */
    struct bytes weights;
    float *out; /* [count, outputs] */
};

struct bytes_of_rows {
    const void *rows; /* [count, inputs], in fp32 or bf16 */
    int64_t is_bf16, first; /* output of the first row */
    struct bytes to;
    int64_t count;
};

/* The inputs of a group. */
EXPORT int64_t KERNEL(native_avx2_group)(void)
{
    return GROUP;
}

static inline long wide_of(long inputs)
{
    return rounded_up(inputs, GROUP);
}

/* The largest code of a row: no sum of that many products leaves 32 bits. */
static inline long levels_of(long inputs)
{
    return least(CODE_LEVELS, INT32_MAX / (WEIGHT_LEVELS * inputs) - 1);
}

/* The largest magnitude, compared as bits: a NaN is above all numbers and so becomes the scale of its row. */
static float largest_of(const float *numbers, long count)
{
    const __m256i magnitude = _mm256_set1_epi32(INT32_MAX);
    __m256i most = _mm256_castps_si256(_mm256_set1_ps(1e-30f)); /* a row of zeros still gets a scale */
    long at = 0;
    for (; at + EIGHT <= count; at += EIGHT) {
        __m256i some = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(numbers + at)), magnitude);
        most = _mm256_max_epi32(most, some); /* without the sign bit, signed and unsigned compare alike */
    }
    int32_t bits[EIGHT], largest = 0;
    _mm256_storeu_si256((__m256i *)bits, most);
    for (long lane = 0; lane < EIGHT; lane++)
        largest = bits[lane] > largest ? bits[lane] : largest;
    for (; at < count; at++) {
        int32_t bit;
        memcpy(&bit, numbers + at, sizeof bit);
        bit &= INT32_MAX;
        largest = bit > largest ? bit : largest;
    }
    float found;
    memcpy(&found, &largest, sizeof found);
    return found;
}

/* Round eight numbers times `shares`. */
static inline __m256i rounded(const float *numbers, __m256 shares)
{
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(numbers), shares));
}

/* Round numbers times `share` to codes of 16 bits. (What NaN and infinity become does not matter: their row has no
   finite scale.) */
static void round_codes(const float *numbers, long count, float share, int16_t *codes)
{
    const __m256 shares = _mm256_set1_ps(share);
    long at = 0;
    for (; at + WIDE <= count; at += WIDE) {
        __m256i both = _mm256_packs_epi32(rounded(numbers + at, shares), rounded(numbers + at + EIGHT, shares));
        _mm256_storeu_si256((__m256i *)(codes + at), _mm256_permute4x64_epi64(both, 0xd8));
    }
    for (; at < count; at++)
        codes[at] = (int16_t)_mm_cvtss_si32(_mm_set_ss(numbers[at] * share));
}

#ifdef __AVXVNNI__

/* The same for bytes around ZERO. */
static void round_row(const float *numbers, long count, float share, code *codes)
{
    const __m256 shares = _mm256_set1_ps(share);
    const __m256i zeros = _mm256_set1_epi16(ZERO), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    long at = 0;
    for (; at + 2 * WIDE <= count; at += 2 * WIDE) {
        __m256i first = _mm256_packs_epi32(rounded(numbers + at, shares), rounded(numbers + at + EIGHT, shares));
        __m256i second = _mm256_packs_epi32(
            rounded(numbers + at + 2 * EIGHT, shares), rounded(numbers + at + 3 * EIGHT, shares));
        __m256i bytes = _mm256_packus_epi16(_mm256_add_epi16(first, zeros), _mm256_add_epi16(second, zeros));
        _mm256_storeu_si256((__m256i *)(codes + at), _mm256_permutevar8x32_epi32(bytes, order));
    }
    for (; at < count; at++)
        codes[at] = (code)(_mm_cvtss_si32(_mm_set_ss(numbers[at] * share)) + ZERO);
}

#else

static void round_row(const float *numbers, long count, float share, code *codes)
{
    round_codes(numbers, count, share, codes);
}

#endif

static void code_row(const void *data, long row)
{
    const struct avx2_product *all = data;
    const long inputs = all->weights.inputs, levels = levels_of(inputs);
    const float *numbers = all->rows + row * all->step;
    code *codes = all->codes + row * wide_of(inputs);
    float largest = largest_of(numbers, inputs);
    all->scales[row] = largest / levels;
    memset(codes + inputs, 0, (wide_of(inputs) - inputs) * sizeof *codes);
    round_row(numbers, inputs, levels / largest, codes);
}

#ifdef __AVXVNNI__

/* The weights of a group for eight outputs, as they are multiplied. */
static inline __m256i eight_of(const int8_t *group, int half)
{
    return _mm256_loadu_si256((const __m256i *)group + half);
}

static inline __m256i plus_products(__m256i sums, __m256i codes, __m256i weights)
{
    return _mm256_dpbusd_avx_epi32(sums, codes, weights);
}

#else

static inline __m256i eight_of(const int8_t *group, int half)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)group + half));
}

static inline __m256i plus_products(__m256i sums, __m256i codes, __m256i weights)
{
    return _mm256_add_epi32(sums, _mm256_madd_epi16(codes, weights));
}

#endif

/* Six rows of codes times one panel. (The unrolled loops keep the sums in registers.) */
static inline __attribute__((always_inline)) void six_rows_times_panel(const code *const rows[TOGETHER],
    const int8_t *panel, const int32_t starts[WIDE], long groups, int32_t to[TOGETHER][WIDE])
{
    __m256i sums[TOGETHER][2];
#pragma GCC unroll 8
    for (int row = 0; row < TOGETHER; row++)
#pragma GCC unroll 8
        for (int half = 0; half < 2; half++)
            sums[row][half] = _mm256_loadu_si256((const __m256i *)starts + half);
    for (long group = 0; group < groups; group++) {
        __m256i low = eight_of(panel + group * GROUP * WIDE, 0), high = eight_of(panel + group * GROUP * WIDE, 1);
#pragma GCC unroll 8
        for (int row = 0; row < TOGETHER; row++) {
            int32_t some;
            memcpy(&some, rows[row] + GROUP * group, sizeof some);
            __m256i codes = _mm256_set1_epi32(some);
            sums[row][0] = plus_products(sums[row][0], codes, low);
            sums[row][1] = plus_products(sums[row][1], codes, high);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < TOGETHER; row++)
#pragma GCC unroll 8
        for (int at = 0; at < 2; at++)
            _mm256_storeu_si256((__m256i *)to[row] + at, sums[row][at]);
}

static inline __m256 numbers_of(const struct avx2_product *all, long row, long column, const int32_t *sums)
{
    __m256 number = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)sums));
    number = _mm256_mul_ps(number, _mm256_set1_ps(all->scales[row]));
    number = _mm256_mul_ps(number, _mm256_loadu_ps(all->weights.scales + column));
    return all->weights.bias ? _mm256_add_ps(number, _mm256_loadu_ps(all->weights.bias + column)) : number;
}

static void store_sums(const struct avx2_product *all, long row, long column, const int32_t sums[WIDE])
{
    const long count = least(WIDE, all->weights.outputs - column);
    float numbers[WIDE], *out = all->out + row * all->weights.outputs + column;
    float *to = count == WIDE ? out : numbers;
    for (long at = 0; at < WIDE; at += EIGHT)
        _mm256_storeu_ps(to + at, numbers_of(all, row, column + at, sums + at));
    if (count < WIDE)
        memcpy(out, numbers, count * sizeof *out);
}

static inline long takes_of(const struct avx2_product *all)
{
    return (all->weights.outputs + TAKEN - 1) / TAKEN;
}

/* Blocks of rows: one, or more where there are fewer parts than would keep all threads at work. */
static inline long blocks_of(const struct avx2_product *all)
{
    long most = (all->count + LEAST_ROWS - 1) / LEAST_ROWS, takes = takes_of(all);
    return least(most, (4 * team_size() + takes - 1) / takes);
}

static inline long first_of(const struct avx2_product *all, long block, long blocks)
{
    return block == blocks ? all->count : all->count * block / blocks / TOGETHER * TOGETHER;
}

static void some_panels(void *data, long part)
{
    const struct avx2_product all = *(const struct avx2_product *)data; /* a local copy: no store changes it */
    const long blocks = blocks_of(&all), block = part % blocks, wide = wide_of(all.weights.inputs);
    const long last = first_of(&all, block + 1, blocks), from = part / blocks * TAKEN;
    const code *rows[TOGETHER];
    int32_t sums[TOGETHER][WIDE] __attribute__((aligned(64)));
    for (long first = first_of(&all, block, blocks); first < last; first += TOGETHER) {
        for (long row = 0; row < TOGETHER; row++)
            rows[row] = all.codes + least(first + row, last - 1) * wide;
        for (long column = from; column < least(from + TAKEN, all.weights.outputs); column += WIDE) {
            six_rows_times_panel(
                rows, all.weights.panels + column * wide, all.weights.starts + column, wide / GROUP, sums);
            for (long row = 0; row < TOGETHER && first + row < last; row++)
                store_sums(&all, first + row, column, sums[row]);
        }
    }
}

EXPORT void KERNEL(native_avx2_product)(struct avx2_product *all)
{
    over_rows(code_row, all, all->count, all->weights.inputs);
    in_parts(some_panels, all, takes_of(all) * blocks_of(all));
}

/* Read a row of weights as fp32. */
static void read_row(const struct bytes_of_rows *all, long row, float *numbers)
{
    const long inputs = all->to.inputs;
    if (!all->is_bf16) {
        memcpy(numbers, (const float *)all->rows + row * inputs, inputs * sizeof *numbers);
        return;
    }
    const bf16 *from = (const bf16 *)all->rows + row * inputs;
    for (long at = 0; at < inputs; at++) {
        uint32_t bits = (uint32_t)from[at] << 16;
        memcpy(numbers + at, &bits, sizeof bits);
    }
}

/* Quantise one row of weights into its place in a panel. */
static void put_row(const void *data, long row)
{
    const struct bytes_of_rows all = *(const struct bytes_of_rows *)data; /* a local copy: no store changes it */
    const long inputs = all.to.inputs, wide = wide_of(inputs), output = all.first + row;
    float numbers[wide];
    int16_t codes[wide];
    int32_t sum = 0;
    read_row(&all, row, numbers);
    float largest = largest_of(numbers, inputs);
    memset(codes + inputs, 0, (wide - inputs) * sizeof *codes);
    round_codes(numbers, inputs, WEIGHT_LEVELS / largest, codes);
    all.to.scales[output] = largest / WEIGHT_LEVELS;
    int8_t *to = all.to.panels + output / WIDE * WIDE * wide + output % WIDE * GROUP;
    for (long at = 0; at < wide; at += GROUP, to += GROUP * WIDE)
        for (long input = at; input < at + GROUP; input++) {
            to[input - at] = (int8_t)codes[input];
            sum += codes[input];
        }
    all.to.starts[output] = -ZERO * sum;
}

/* Quantise `count` rows of weights and lay them out, from output `first` on. */
EXPORT void KERNEL(native_quantise_bytes)(const struct bytes_of_rows *all)
{
    over_rows(put_row, all, all->count, all->to.inputs);
}
