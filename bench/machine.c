/* What the machine can do at most: fused multiply-adds, as fast as the compiler's own machine runs them. */
typedef float vec __attribute__((vector_size(
#if defined(__AVX512F__)
    64
#elif defined(__AVX__)
    32
#else
    16
#endif
    )));

enum { CHAINS = 12 };

/* Returns the number of multiply-adds done; `out` keeps the compiler from leaving them out. */
double multiply_add(long rounds, float *out)
{
    vec a[CHAINS], x, y;
    for (unsigned k = 0; k < sizeof x / sizeof(float); k++) {
        x[k] = 0.999f;
        y[k] = 1e-3f;
    }
    for (int k = 0; k < CHAINS; k++)
        a[k] = x * (float)k;
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int k = 0; k < CHAINS; k++)
            a[k] = a[k] * x + y;
    }
    *out = 0;
    for (int k = 0; k < CHAINS; k++)
        *out += a[k][0];
    return (double)rounds * CHAINS * (double)(sizeof(vec) / sizeof(float));
}
