/* Tests for the instructions that the kernels need. This one file is compiled for every x86-64, so that the tests do
   not themselves need those instructions. The compiler's test includes whether the operating system saves the wide
   registers. */

#include "native.h"

EXPORT const char native_sources[] = SOURCES;

EXPORT int native_runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")
        && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Whether the kernels that are compiled for AVX2 alone run here. */
EXPORT int native_runs_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
