/* Included once for each REAL. */

typedef REAL NAME(quad) __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

/* turned[e][k] = row k, value e; zero beyond `events` */
static void NAME(turn)(const REAL *rows, int64_t ld, int64_t events, int64_t across,
                       REAL turned[PCA_ACROSS][PCA_STRETCH])
{
    if (events < PCA_STRETCH || across < PCA_ACROSS) {
        for (int64_t e = 0; e < across; e++)
            for (int64_t k = 0; k < PCA_STRETCH; k++)
                turned[e][k] = k < events ? rows[k * ld + e] : 0;
        return;
    }
    for (int64_t k = 0; k < PCA_STRETCH; k += 4) {
        const REAL *row = rows + k * ld;
        for (int64_t e = 0; e < PCA_ACROSS; e += 4) {
            const NAME(quad) a = *(const NAME(quad) *)(row + e), b = *(const NAME(quad) *)(row + ld + e);
            const NAME(quad) c = *(const NAME(quad) *)(row + 2 * ld + e), d = *(const NAME(quad) *)(row + 3 * ld + e);
            const NAME(quad) ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
            const NAME(quad) cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
            const NAME(quad) AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            const NAME(quad) CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            *(NAME(quad) *)(turned[e] + k) = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
            *(NAME(quad) *)(turned[e + 1] + k) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
            *(NAME(quad) *)(turned[e + 2] + k) = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
            *(NAME(quad) *)(turned[e + 3] + k) = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
        }
    }
}

/* Add one stretch of events, all elements. */
static void NAME(add_stretch)(const REAL *rows, int64_t ld, int64_t events, int64_t elements,
                              const int32_t *color, double *sum)
{
    REAL turned[PCA_ACROSS][PCA_STRETCH];
    for (int64_t p = 0; p < elements; p += PCA_ACROSS) {
        const int64_t across = p + PCA_ACROSS < elements ? PCA_ACROSS : elements - p;
        /* so many rows at once are more than the hardware foresees */
        for (int64_t k = 0; k < events; k++)
            for (size_t b = 0; b < sizeof turned[0][0] * PCA_ACROSS; b += 64)
                __builtin_prefetch((const char *)(rows + k * ld + p + PCA_ACROSS) + b, 0, 2);
        NAME(turn)(rows + p, ld, events, across, turned);
        /* neighbours mostly have one colour: its sums stay in registers */
        for (int64_t e = 0; e < across;) {
            const int32_t c = color[p + e];
            int64_t last = e + 1;
            while (last < across && color[p + last] == c)
                last++;
            if (c >= 0) {
                double *to = sum + (int64_t)c * PCA_STRETCH;
                double s[PCA_STRETCH];
                for (int k = 0; k < PCA_STRETCH; k++)
                    s[k] = to[k];
                for (int64_t i = e; i < last; i++)
                    for (int k = 0; k < PCA_STRETCH; k++)
                        s[k] += (double)turned[i][k];
                for (int k = 0; k < PCA_STRETCH; k++)
                    to[k] = s[k];
            }
            e = last;
        }
    }
}

pca_status NAME(pca_color_sums)(const REAL *block, int64_t ld, int64_t events, int64_t elements,
                                const int32_t *color, int64_t colors, double *sum, int threads)
{
    for (int64_t p = 0; p < elements; p++)
        if (color[p] < -1 || color[p] >= colors)
            return PCA_BAD_VALUE;
    (void)threads; /* unused without OpenMP */
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t first = 0; first < events; first += PCA_STRETCH) {
        double *to = sum + first * colors;
        const int64_t count = first + PCA_STRETCH < events ? PCA_STRETCH : events - first;
        for (int64_t k = 0; k < colors * PCA_STRETCH; k++)
            to[k] = 0;
        NAME(add_stretch)(block + first * ld, ld, count, elements, color, to);
    }
    return PCA_OK;
}
