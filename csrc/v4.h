/* What the files of code path x86-64-v4 share: AVX-512, and whether this machine has it. */
#ifndef PARCORANA_V4_H
#define PARCORANA_V4_H

#ifdef __clang__ /* which prefers nothing, and ignores all of an attribute for a part that it does not know */
#define PREFER
#else
#define PREFER ",prefer-vector-width=512"
#endif

#define VBYTES 64
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi2" PREFER)))

static int runs_here(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

#endif
