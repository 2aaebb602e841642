/* Products of many rows with many panels, dealt out to threads.

   Threads take panels of weights. A panel stays in the second cache while all rows go through it: weights come from
   memory once, however few rows there are. Nothing depends on the number of rows, so no kernel is generated for it. */

#ifndef PANELS_H
#define PANELS_H

#include <stdlib.h>

#include "fours.h"
#include "tiles.h"

enum {
    MOST_BYTES = 1 << 18, /* rows per block: they stay in the second cache while a block goes through its panels */
    PANELS = 2,           /* taken by a thread at a time */
};

struct product {
    const uint8_t *rows; /* [count, bytes], codes or bf16 */
    const float *row_scales; /* for codes only */
    struct weights weights;  /* `bias` is NULL for no bias */
    bf16 *out;               /* [count, outputs] */
    int64_t count;
};

static inline __attribute__((always_inline)) __m512 numbers_of(
    const struct product *all, long row, long column, const int32_t *sums, const enum format format)
{
    if (format == BF16)
        return _mm512_load_ps(sums);
    __m512 numbers = _mm512_mul_ps(
        _mm512_cvtepi32_ps(_mm512_load_si512(sums)), _mm512_set1_ps(all->row_scales[row]));
    return _mm512_mul_ps(numbers, _mm512_loadu_ps(all->weights.scales + column));
}

static inline __attribute__((always_inline)) void store_row(
    const struct product *all, long row, long column, const int32_t *sums, const enum format format)
{
    bf16 *out = all->out + row * all->weights.outputs + column;
    for (long at = 0; at < OUTPUTS; at += LANES) {
        __m512 numbers = numbers_of(all, row, column + at, sums + at, format);
        if (all->weights.bias)
            numbers = _mm512_add_ps(numbers, _mm512_loadu_ps(all->weights.bias + column + at));
        _mm256_storeu_si256((__m256i *)(out + at), narrowed(numbers));
    }
}

/* Rows from `first` to `last` times a panel. The first groups of rows prefetch the next panel, if there is one. */
static inline __attribute__((always_inline)) void some_rows_times_panel(
    const struct product *all, long first, long last, long column, const enum format format)
{
    const long bytes = all->weights.bytes, share = 16 * bytes; /* prefetched by a group */
    const char *panel = (const char *)all->weights.panels + column * bytes;
    const char *end = panel + OUTPUTS * bytes, *ahead = end;
    const char *last_ahead = column + OUTPUTS < all->weights.outputs ? end + (end - panel) : end;
    int32_t sums[SIX][OUTPUTS] __attribute__((aligned(64)));
    const uint8_t *rows[SIX];
    for (; first < last; first += SIX) {
        for (long row = 0; row < SIX; row++)
            rows[row] = all->rows + least(first + row, last - 1) * bytes;
        if (ahead < last_ahead)
            six_rows_of_fours(&all->weights, rows, column, sums, ahead, true, format);
        else
            six_rows_of_fours(&all->weights, rows, column, sums, NULL, false, format);
        ahead += share;
        for (long row = 0; row < SIX && first + row < last; row++)
            store_row(all, first + row, column, sums[row], format);
    }
}

static inline long blocks_of(const struct product *all)
{
    long rows = MOST_BYTES / all->weights.bytes / SIX * SIX, most = rows < SIX ? SIX : rows;
    return (all->count + most - 1) / most;
}

static inline long first_of(const struct product *all, long block)
{
    return all->count * block / blocks_of(all) / SIX * SIX;
}

static inline long parts_of_block(const struct product *all)
{
    return (all->weights.outputs / OUTPUTS + PANELS - 1) / PANELS;
}

/* Some panels for one block of rows; all panels of a block follow one another. */
static inline __attribute__((always_inline)) void some_panels(void *data, long part, const enum format format)
{
    const struct product all = *(const struct product *)data; /* a local copy: no store changes it */
    const long parts = parts_of_block(&all), block = part / parts;
    const long last = block + 1 < blocks_of(&all) ? first_of(&all, block + 1) : all.count;
    const long from = part % parts * PANELS * OUTPUTS, to = least(from + PANELS * OUTPUTS, all.weights.outputs);
    for (long column = from; column < to; column += OUTPUTS)
        some_rows_times_panel(&all, first_of(&all, block), last, column, format);
}

#ifdef __AMX_TILE__

enum { MOST_TILED = 1 << 20 }; /* bytes of rows per block */

/* Rows as tiles: sixteen after each other, 64 bytes of each at a time. (Where they lie, steps of a power of two would
   put all rows of a tile into few sets of the first cache.) */
struct tiles {
    const struct product *all;
    char *at;
    long block; /* rows, a multiple of TILED */
};

static void tile_rows(void *data, long group)
{
    const struct tiles *tiles = data;
    const long bytes = tiles->all->weights.bytes, first = group * TILE_ROWS;
    for (long row = first; row < least(first + TILE_ROWS, tiles->all->count); row++)
        for (long at = 0; at < bytes; at += TILE_BYTES)
            _mm512_store_si512(tiles->at + first * bytes + at * TILE_ROWS + (row - first) * TILE_BYTES,
                _mm512_loadu_si512(tiles->all->rows + row * bytes + at));
}

static inline __attribute__((always_inline)) void some_panels_of_tiles(void *data, long part, const enum format format)
{
    const struct tiles tiles = *(const struct tiles *)data;
    const struct product all = *tiles.all; /* a local copy: no store changes it */
    const long bytes = all.weights.bytes, parts = parts_of_block(&all);
    const long start = part / parts * tiles.block, last = least(start + tiles.block, all.count);
    const long from = part % parts * PANELS * OUTPUTS, to = least(from + PANELS * OUTPUTS, all.weights.outputs);
    int32_t sums[TILED][OUTPUTS] __attribute__((aligned(64)));
    long shaped = 0;
    for (long column = from; column < to; column += OUTPUTS)
        for (long first = start; first < last; first += TILED) {
            const char *at = tiles.at + first * bytes;
            const struct tiled rows = {at, at + TILE_ROWS * bytes, TILE_ROWS, TILE_BYTES, least(TILED, last - first)};
            if (shaped != rows.count)
                shape_tiles(shaped = rows.count);
            rows_of_tiles(&all.weights, &rows, column, sums, format);
            for (long row = 0; row < rows.count; row++)
                store_row(&all, first + row, column, sums[row], format);
        }
    _tile_release();
}

/* Multiply with tiles; return whether that was possible. */
static inline bool in_tiles(void (*part)(void *data, long at), const struct product *all)
{
    const long bytes = all->weights.bytes, groups = (all->count + TILE_ROWS - 1) / TILE_ROWS;
    const long blocks = (all->count * bytes + MOST_TILED - 1) / MOST_TILED;
    if (!takes_tiles(&all->weights) || !all->count)
        return false;
    struct tiles tiles = {all, aligned_alloc(TILE_BYTES, groups * TILE_ROWS * bytes), 0};
    if (!tiles.at)
        return false;
    tiles.block = rounded_up((all->count + blocks - 1) / blocks, TILED);
    in_parts(tile_rows, &tiles, groups);
    in_parts(part, &tiles, (all->count + tiles.block - 1) / tiles.block * parts_of_block(all));
    free(tiles.at);
    return true;
}

#endif

static inline void in_panels(void (*part)(void *data, long at), struct product *all)
{
    in_parts(part, all, blocks_of(all) * parts_of_block(all));
}

#endif
