/* What the files of code path x86-64-v4 share: AVX-512. */
#ifndef PARCORANA_V4_H
#define PARCORANA_V4_H

#ifdef __clang__ /* which prefers nothing, and ignores all of an attribute for a part that it does not know */
#define PREFER
#else
#define PREFER ",prefer-vector-width=512"
#endif

#define VBYTES 64
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi2" PREFER)))

#endif
