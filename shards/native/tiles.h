/* Products of up to 32 rows with a panel of weights by AMX: registers of 16 rows of 64 bytes, and one instruction that
   multiplies two of them. The layout of panels is the one of `fours.h`: sixteen fours of sixteen outputs are a tile.

   Tiles 0 to 3 hold sums, 4 and 5 rows, 6 and 7 weights. More than 16 rows meet two tiles of weights at a time, fewer
   meet four, so that each of the four sums waits for no other. Sums of codes are the same as those of `fours.h`, bit
   for bit; those of bf16 are added up in another order. */

#ifndef TILES_H
#define TILES_H

#include "fours.h"

#ifdef __AMX_TILE__

enum {
    TILE_ROWS = 16,
    TILE_BYTES = 64, /* of a row */
    PANEL_STEP = OUTPUTS * FOUR, /* from a row of a tile of weights to the next */
    TILED = 2 * TILE_ROWS, /* the most rows that are multiplied together */
};

struct tile_shapes {
    uint8_t palette, start_row, unused[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};

/* Set the shapes of the tiles for `count` rows of states; the content of all tiles is lost. */
static inline void shape_tiles(long count)
{
    struct tile_shapes shapes __attribute__((aligned(64))) = {.palette = 1};
    uint8_t first = (uint8_t)least(count, TILE_ROWS), second = (uint8_t)(count > TILE_ROWS ? count - TILE_ROWS : 0);
    const uint8_t rows[] = {first, first, second ? second : first, second ? second : first, first,
        second ? second : first, TILE_ROWS, TILE_ROWS};
    for (unsigned at = 0; at < sizeof rows; at++) {
        shapes.rows[at] = rows[at];
        shapes.bytes[at] = TILE_BYTES;
    }
    _tile_loadconfig(&shapes);
}

/* Up to 32 rows: the tile of bytes `at` to `at + 64` of the first sixteen is at `first + at * step`, that of the rest
   at `second`, and a row is `row_step` bytes after the one before. */
struct tiled {
    const char *first, *second;
    long step, row_step, count;
};

#define PLUS_TILES(sums, rows, weights) \
    do { \
        if (format == CODES) \
            _tile_dpbusd(sums, rows, weights); \
        else \
            _tile_dpbf16ps(sums, rows, weights); \
    } while (0)

#define START_TILE(sums, column) \
    do { \
        if (format == CODES) \
            _tile_loadd(sums, all->starts + (column), 0); \
        else \
            _tile_zero(sums); \
    } while (0)

static inline __attribute__((always_inline)) void many_rows_of_tiles(
    const struct weights *all, const struct tiled *rows, long column, int32_t (*to)[OUTPUTS], const enum format format)
{
    const long step = rows->row_step;
    for (long half = 0; half < OUTPUTS; half += 2 * LANES) {
        const int8_t *panel = all->panels + column * all->bytes + half * FOUR;
        START_TILE(0, column + half);
        START_TILE(1, column + half + LANES);
        START_TILE(2, column + half);
        START_TILE(3, column + half + LANES);
        for (long at = 0; at < all->bytes; at += TILE_BYTES) {
            _tile_loadd(6, panel + at * OUTPUTS, PANEL_STEP);
            _tile_loadd(4, rows->first + at * rows->step, step);
            PLUS_TILES(0, 4, 6);
            _tile_loadd(7, panel + at * OUTPUTS + TILE_BYTES, PANEL_STEP);
            PLUS_TILES(1, 4, 7);
            _tile_loadd(5, rows->second + at * rows->step, step);
            PLUS_TILES(2, 5, 6);
            PLUS_TILES(3, 5, 7);
        }
        _tile_stored(0, to[0] + half, OUTPUTS * sizeof **to);
        _tile_stored(1, to[0] + half + LANES, OUTPUTS * sizeof **to);
        _tile_stored(2, to[TILE_ROWS] + half, OUTPUTS * sizeof **to);
        _tile_stored(3, to[TILE_ROWS] + half + LANES, OUTPUTS * sizeof **to);
    }
}

static inline __attribute__((always_inline)) void few_rows_of_tiles(
    const struct weights *all, const struct tiled *rows, long column, int32_t (*to)[OUTPUTS], const enum format format)
{
    const int8_t *panel = all->panels + column * all->bytes;
    START_TILE(0, column);
    START_TILE(1, column + LANES);
    START_TILE(2, column + 2 * LANES);
    START_TILE(3, column + 3 * LANES);
    for (long at = 0; at < all->bytes; at += TILE_BYTES) {
        _tile_loadd(4, rows->first + at * rows->step, rows->row_step);
        _tile_loadd(6, panel + at * OUTPUTS, PANEL_STEP);
        PLUS_TILES(0, 4, 6);
        _tile_loadd(7, panel + at * OUTPUTS + TILE_BYTES, PANEL_STEP);
        PLUS_TILES(1, 4, 7);
        _tile_loadd(6, panel + at * OUTPUTS + 2 * TILE_BYTES, PANEL_STEP);
        PLUS_TILES(2, 4, 6);
        _tile_loadd(7, panel + at * OUTPUTS + 3 * TILE_BYTES, PANEL_STEP);
        PLUS_TILES(3, 4, 7);
    }
    _tile_stored(0, to[0], OUTPUTS * sizeof **to);
    _tile_stored(1, to[0] + LANES, OUTPUTS * sizeof **to);
    _tile_stored(2, to[0] + 2 * LANES, OUTPUTS * sizeof **to);
    _tile_stored(3, to[0] + 3 * LANES, OUTPUTS * sizeof **to);
}

/* Rows times the panel of outputs from `column` on, as in `six_rows_of_fours`, for tiles shaped for them. */
static inline __attribute__((always_inline)) void rows_of_tiles(
    const struct weights *all, const struct tiled *rows, long column, int32_t (*to)[OUTPUTS], const enum format format)
{
    if (rows->count > TILE_ROWS)
        many_rows_of_tiles(all, rows, column, to, format);
    else
        few_rows_of_tiles(all, rows, column, to, format);
}

/* Whether weights have whole tiles. */
static inline bool takes_tiles(const struct weights *all)
{
    return all->bytes % TILE_BYTES == 0;
}

#endif

#endif
