/* May the kernels run on this CPU? The one file that is compiled for every x86-64, so that asking does
   not itself need what it asks for. The compiler's check includes whether the operating system keeps
   the wide registers. */

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
