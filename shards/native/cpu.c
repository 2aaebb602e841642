/* Tests for the instructions that the kernels of each tier need. This one file is compiled for every x86-64, so that the
   tests do not themselves need those instructions. The compiler's test includes whether the operating system saves the
   wide registers. */

#include <cpuid.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native.h"

enum {
    TILES_NEED = 1 << 22 | 1 << 24 | 1 << 25, /* EDX of leaf 7: amx_bf16, amx_tile, amx_int8 */
    BYTES_NEED = 1 << 4,                      /* EAX of leaf 7, subleaf 1: avx_vnni */
    ASK_FOR_STATE = 0x1023,                   /* of arch_prctl: ARCH_REQ_XCOMP_PERM */
    TILE_DATA = 18,
};

EXPORT const char native_sources[] = SOURCES;

EXPORT int native_runs_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

EXPORT int native_runs_avx2_vnni(void)
{
    unsigned a = 0, b, c, d;
    return native_runs_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & BYTES_NEED;
}

EXPORT int native_runs_avx512_vnni(void)
{
    return native_runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vnni");
}

EXPORT int native_runs_avx512_bf16(void)
{
    return native_runs_avx512_vnni() && __builtin_cpu_supports("avx512bf16");
}

/* The kernel saves tiles for processes that have asked for it. It grants that to this one and all its threads. */
EXPORT int native_runs_amx(void)
{
    unsigned a, b, c, d = 0;
    bool has_tiles = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & TILES_NEED) == TILES_NEED;
    return native_runs_avx512_bf16() && has_tiles && !syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA);
}
