/* Included once for each REAL. */

/* For the given rows: mark the elements that reach `saturated`, then raise what is smaller than
 * `least` to it. marks may be NULL; values that are not a number stay as they are. */
void NAME(pca_adjust)(REAL *rows, int64_t ld, const int64_t *row, int64_t n, int64_t elements,
                      REAL saturated, int8_t *marks, REAL least, int raise, int threads)
{
    enum { PIECE = 1024 };
    (void)threads; /* unused without OpenMP */
#pragma omp parallel for num_threads(threads) schedule(static) if (pca_threads(threads) > 1)
    for (int64_t first = 0; first < elements; first += PIECE) {
        const int64_t last = first + PIECE < elements ? first + PIECE : elements;
        for (int64_t k = 0; k < n; k++) {
            REAL *value = rows + row[k] * ld;
            if (marks)
                for (int64_t p = first; p < last; p++)
                    marks[p] = (int8_t)(marks[p] | (value[p] >= saturated));
            if (raise)
                for (int64_t p = first; p < last; p++)
                    value[p] = value[p] < least ? least : value[p];
        }
    }
}
