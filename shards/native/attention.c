/* Attention of segments to rows of a pool: softmax(Q K^T) V, see `attention.py`.

   A segment is cut into tiles of query rows, in which the query heads that share a key head stand one after the other;
   threads take tiles, one head at a time. A tile goes through the keys in blocks: keys and values of a block are
   packed, then some rows at a time are turned into scores, weights and their share of the result, all of which stays
   in the cache. So no memory grows with the length of a segment, and no result depends on other segments.

   Sizes: all scratch of a thread is about 350 KB of its stack. */

#include "packing.h"
#include "softmax.h"
#include "tiles.h"

enum {
    KEYS = 256,             /* the most keys of a block */
    TILE = 256,             /* the most query rows of a tile */
    STRIP = 16,             /* query rows that go through scores, weights and result together */
    ELEMENTS = 128,         /* the most elements of a head for blocks and tiles of full size; the limit is 256 */
};

struct span {
    int64_t first, count;
};

struct segment {
    int64_t first, length; /* its rows among the queries */
    int64_t spans;         /* the first of the spans of the pool that it attends to */
    int64_t seen;          /* the rows of these spans */
};

/* The address of a row of a head is `at + row * row_step + head * head_step`. Steps are in elements. */
struct states {
    bf16 *at;
    int64_t row_step, head_step;
};

struct attention {
    struct states queries, keys, values, out;
    const struct segment *segments;
    const struct span *spans;
    const int64_t *tiles; /* for each tile its segment and its first query row */
    int64_t tile_count, heads, share, dim, causal;
    int64_t reach; /* the most rows between a query and a key that it sees; -1 for no limit */
};

/* The scratch of one tile. */
struct tile {
    const struct attention *all;
    const struct segment *segment;
    long head, first, rows; /* query rows, of all heads that share this key head */
    long width;             /* elements of a head, padded */
    long block;             /* keys of a block */
    long start, end;        /* the keys that any of the rows sees */
    bool from_zeros;        /* all blocks are added to zeros, since not every row sees keys of the first block */
    long shaped;            /* rows that tiles are shaped for */
    bool adds;              /* the current block is added to the result of earlier ones */
    const bf16 *key_rows[KEYS], *value_rows[KEYS];
    struct row row[TILE];
    pair keys[KEYS * ELEMENTS / 2] __attribute__((aligned(64)));
    pair values[KEYS / 2 * ELEMENTS] __attribute__((aligned(64)));
    bf16 queries[TILE * ELEMENTS] __attribute__((aligned(64)));
    float result[TILE * ELEMENTS] __attribute__((aligned(64)));
    float scores[STRIP * KEYS] __attribute__((aligned(64)));
    bf16 weights[STRIP * KEYS] __attribute__((aligned(64)));
};

static inline bf16 *row_of(const struct states *states, long row, long head)
{
    return states->at + row * states->row_step + head * states->head_step;
}

static inline bf16 *query_of(const struct tile *tile, const struct states *states, long row)
{
    long share = tile->all->share, stacked = tile->first + row;
    if (share == 1) /* the division would take longer than the rest of this function */
        return row_of(states, tile->segment->first + stacked, tile->head);
    bf16 *shared = row_of(states, tile->segment->first + stacked / share, tile->head);
    return shared + stacked % share * tile->all->dim;
}

static inline long token_of(const struct tile *tile, long row)
{
    return (tile->first + row) / tile->all->share;
}

/* The end of the segment's keys that a query row of the tile sees. */
static inline long seen_by(const struct tile *tile, long row)
{
    const struct segment *segment = tile->segment;
    if (tile->all->causal)
        return segment->seen - segment->length + token_of(tile, row) + 1;
    return tile->all->reach < 0 ? segment->seen : least(segment->seen, token_of(tile, row) + tile->all->reach + 1);
}

/* The first key that a query row sees. */
static inline long first_seen_by(const struct tile *tile, long row)
{
    long before = tile->all->reach < 0 ? 0 : token_of(tile, row) - tile->all->reach;
    return before > 0 ? before : 0;
}

/* Copy the queries; the last one is repeated to pad the last strip. */
static void take_queries(struct tile *tile)
{
    long dim = tile->all->dim;
    for (long row = 0; row < rounded_up(tile->rows, GROUP); row++) {
        const bf16 *query = query_of(tile, &tile->all->queries, least(row, tile->rows - 1));
        bf16 *to = tile->queries + row * tile->width;
        for (long at = 0; at < tile->width; at += 2 * LANES)
            _mm512_storeu_si512(to + at, _mm512_maskz_loadu_epi32(first_lanes((dim - at) / 2), query + at));
        tile->row[row] = (struct row){-INFINITY, 0};
    }
}

/* Prefetch a row while others are located: rows may lie far apart. */
static inline void fetch(const bf16 *row, long dim)
{
    for (long at = 0; at < dim; at += 2 * LANES)
        __builtin_prefetch(row + at);
}

static const bf16 zeros[2 * ELEMENTS]; /* the rows that pad the keys to whole stretches */

/* Locate `count` keys from `first` on, and pack them and their values. */
static void take_keys(struct tile *tile, long first, long count)
{
    const struct attention *all = tile->all;
    const struct span *span = all->spans + tile->segment->spans;
    long at = 0, skipped = first;
    for (; skipped >= span->count; span++)
        skipped -= span->count;
    for (; at < count; span++, skipped = 0)
        for (; skipped < span->count && at < count; skipped++, at++) {
            tile->key_rows[at] = row_of(&all->keys, span->first + skipped, tile->head);
            tile->value_rows[at] = row_of(&all->values, span->first + skipped, tile->head);
            fetch(tile->key_rows[at], all->dim);
            fetch(tile->value_rows[at], all->dim);
        }
    for (; at % STRETCH; at++)
        tile->key_rows[at] = tile->value_rows[at] = zeros;
    pack_keys(tile->key_rows, at, all->dim, tile->width / 2 * PANEL, tile->keys);
    pack_values(tile->value_rows, at, all->dim, tile->block / 2 * PANEL, tile->values);
}

static inline void shrink_row(float *result, long dim, float factor)
{
    for (long at = 0; at < dim; at += LANES)
        _mm512_store_ps(result + at, _mm512_mul_ps(_mm512_load_ps(result + at), _mm512_set1_ps(factor)));
}

/* Turn the scores of a strip into weights; the result of earlier blocks shrinks with them. */
static void weigh(struct tile *tile, long strip, long rows, long first, long columns)
{
    for (long at = 0; at < rows; at++) {
        long row = least(strip + at, tile->rows - 1), seen = least(seen_by(tile, row) - first, columns);
        long unseen = first_seen_by(tile, row) - first;
        float factor = weights_of(
            &tile->row[strip + at], tile->scores + at * KEYS, unseen, seen, columns, tile->weights + at * KEYS);
        if (tile->adds && factor != 1)
            shrink_row(tile->result + (strip + at) * tile->width, tile->width, factor);
    }
}

/* Shape tiles, where there are any, for the rows of a strip. */
static inline void shape_for(struct tile *tile, long rows)
{
#ifdef __AMX_TILE__
    if (tile->shaped != rows)
        shape_tiles(tile->shaped = rows);
#else
    (void)tile, (void)rows;
#endif
}

/* Attend with a strip of rows to the block of keys from `first` on. */
static void attend(struct tile *tile, long strip, long first, long count)
{
    long width = tile->width, rows = rounded_up(least(STRIP, tile->rows - strip), GROUP);
    long last = least(strip + rows, tile->rows) - 1, seen = least(seen_by(tile, last) - first, count);
    long unseen = first_seen_by(tile, strip) - first, skipped = unseen > 0 ? unseen / PANEL : 0;
    if (seen <= skipped * PANEL)
        return;
    long columns = rounded_up(seen - skipped * PANEL, STRETCH);
    shape_for(tile, rows);
    times_panels(tile->queries + strip * width, width, tile->keys + skipped * width / 2 * PANEL, width / 2 * PANEL,
        width / 2, tile->scores, KEYS, false, rows, columns);
    weigh(tile, strip, rows, first + skipped * PANEL, columns);
    times_panels(tile->weights, KEYS, tile->values + skipped * PANEL / 2 * PANEL, tile->block / 2 * PANEL, columns / 2,
        tile->result + strip * width, width, tile->adds, rows, width);
}

static void store_result(const struct tile *tile)
{
    long dim = tile->all->dim;
    for (long row = 0; row < tile->rows; row++) {
        const float *result = tile->result + row * tile->width;
        bf16 *to = query_of(tile, &tile->all->out, row);
        __m512 factor = _mm512_set1_ps(1 / tile->row[row].sum);
        for (long at = 0; at < dim; at += LANES)
            store_bf16(to + at, first_lanes(dim - at), _mm512_mul_ps(_mm512_load_ps(result + at), factor));
    }
}

/* The rows that fit, `most` or half of them, for heads of `dim` elements. */
static inline long fitting(long most, long dim)
{
    return dim > ELEMENTS ? most / 2 : most;
}

EXPORT int64_t KERNEL(native_tile_rows)(int64_t dim)
{
    return fitting(TILE, dim);
}

static void lay_out(struct tile *tile, const struct attention *all, long at)
{
    const int64_t *place = all->tiles + at / all->heads * 2;
    tile->all = all;
    tile->segment = all->segments + place[0];
    tile->head = at % all->heads;
    tile->first = place[1];
    tile->rows = least(KERNEL(native_tile_rows)(all->dim), tile->segment->length * all->share - tile->first);
    tile->width = rounded_up(all->dim, 2 * LANES);
    tile->block = fitting(KEYS, all->dim);
    tile->start = first_seen_by(tile, 0);
    tile->end = seen_by(tile, tile->rows - 1);
    tile->from_zeros = all->reach >= 0;
    tile->shaped = 0;
}

/* Attend with all rows to the block of keys from `first` on. */
static void one_block(struct tile *tile, long first)
{
    long count = least(tile->block, tile->end - first);
    tile->adds = tile->from_zeros || first > tile->start;
    take_keys(tile, first, count);
    if (first == tile->start) /* now the prefetched queries are in the cache */
        take_queries(tile);
    for (long strip = 0; strip < tile->rows; strip += STRIP)
        attend(tile, strip, first, count);
}

static void one_tile(void *data, long at)
{
    struct tile tile;
    lay_out(&tile, data, at);
    for (long row = 0; row < tile.rows; row++)
        fetch(query_of(&tile, &tile.all->queries, row), tile.all->dim);
    if (tile.from_zeros)
        memset(tile.result, 0, rounded_up(tile.rows, GROUP) * tile.width * sizeof *tile.result);
    for (long first = tile.start; first < tile.end; first += tile.block)
        one_block(&tile, first);
    store_result(&tile);
#ifdef __AMX_TILE__
    _tile_release();
#endif
}

EXPORT void KERNEL(native_attention)(const struct attention *all)
{
    in_parts(one_tile, (void *)all, all->tile_count * all->heads);
}
