/* Products of rows in bf16 with weights in bf16: sums are fp32, the result is bf16, with a bias where given. */

#include "panels.h"

static void some_panels_of_bf16(void *data, long part)
{
    some_panels(data, part, BF16);
}

EXPORT void native_bf16_product(struct product *all)
{
    in_panels(some_panels_of_bf16, all);
}
