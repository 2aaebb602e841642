/* Products of rows in bf16 with weights in bf16: sums are fp32, the result is bf16, with a bias where given. */

#include "panels.h"

static void some_panels_of_bf16(void *data, long part)
{
    some_panels(data, part, BF16);
}

#ifdef __AMX_TILE__
static void some_tiles_of_bf16(void *data, long part)
{
    some_panels_of_tiles(data, part, BF16);
}
#endif

EXPORT void KERNEL(native_bf16_product)(struct product *all)
{
#ifdef __AMX_TILE__
    if (in_tiles(some_tiles_of_bf16, all))
        return;
#endif
    in_panels(some_panels_of_bf16, all);
}
