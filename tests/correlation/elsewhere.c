/* The kernels against plain loops, without Python: for machines that only a compiler and an emulator
 * stand for. Values are small integers, so that every sum is exact. tests/correlation/test_elsewhere.py runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correlate.h"
#include "pairs.h"

enum { ELEMENTS = 37, OLD = 150, NEW = 260, LENGTH = 500, SHIFTS = 27, LD = 420 };

static const int64_t gap_at[] = {40, 41, 170, 333}; /* positions without a pulse */
enum { GAPS = sizeof gap_at / sizeof *gap_at };

static int present_at(int64_t t)
{
    for (int k = 0; k < GAPS; k++)
        if (t == gap_at[k])
            return 0;
    return t < OLD + NEW + GAPS;
}

static double value(int64_t element, int64_t event)
{
    return (double)((element * 7919 + event * 104729 + event * event) % 11 - 2);
}

static int failures;

static void same(const char *what, const char *path, int is_double, const double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (a[k] != b[k]) {
            printf("%s %s float%d: [%zu] is %g, not %g\n", path, what, is_double ? 64 : 32, k, a[k], b[k]);
            failures++;
            return;
        }
}

static void put(void *array, int is_double, int64_t at, double v)
{
    if (is_double)
        ((double *)array)[at] = v;
    else
        ((float *)array)[at] = (float)v;
}

static double get(const void *array, int is_double, int64_t at)
{
    return is_double ? ((const double *)array)[at] : (double)((const float *)array)[at];
}

static void *zeros(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory == NULL)
        exit(3);
    return memset(memory, 0, bytes);
}

/* OLD events are stored, NEW ones come, on a line with gaps. */
static void test_correlate(int is_double, int mode)
{
    const size_t size = is_double ? 8 : 4;
    void *x = zeros(ELEMENTS * LD * size), *block = zeros(NEW * ELEMENTS * size);
    double *got[3], *want[3], sums[3];
    int64_t shift[SHIFTS], column[SHIFTS], from[NEW], begin = -1, event = 0;
    uint8_t present[LENGTH] = {0}, is_new[LENGTH] = {0};
    pca_run old[LENGTH], fresh[LENGTH], keep[1] = {{0, OLD, NEW}};
    pca_plan plan = {.length = LENGTH, .source = from, .n_new = NEW, .old = old, .fresh = fresh, .keep = keep,
                     .n_keep = 1, .all_new = 1, .mode = mode, .shift = shift, .column = column, .shifts = SHIFTS,
                     .present = present, .is_new = is_new, .delays = SHIFTS, .sign = 1.0};
    pca_arrays arrays = {.x = x, .ld = LD, .block = block, .ld_block = ELEMENTS, .events = NEW, .elements = ELEMENTS};
    char *scratch;

    for (int64_t t = 0; t < LENGTH; t++) {
        pca_run *const runs = event < OLD ? old : fresh;
        int64_t *const n = event < OLD ? &plan.n_old : &plan.n_fresh;
        const int32_t row = (int32_t)(event < OLD ? event : event - OLD);
        if (!present_at(t))
            continue;
        present[t] = 1;
        if (event == OLD)
            begin = t;
        if (*n && runs[*n - 1].i + runs[*n - 1].length == row && runs[*n - 1].j + runs[*n - 1].length == t)
            runs[*n - 1].length++;
        else
            runs[(*n)++] = (pca_run){row, (int32_t)t, 1};
        for (int64_t p = 0; p < ELEMENTS; p++)
            if (event < OLD)
                put(x, is_double, p * LD + event, value(p, event));
            else
                put(block, is_double, (NEW - 1 - row) * ELEMENTS + p, value(p, event)); /* the newest comes first */
        if (event >= OLD)
            from[row] = NEW - 1 - row;
        plan.end = t + 1;
        event++;
    }
    plan.begin = begin;
    memcpy(is_new, present + begin, (size_t)(plan.end - begin));
    for (int64_t k = 0; k < SHIFTS; k++) {
        column[k] = k;
        shift[k] = -(k < 20 ? k + 1 : 15 * k + 2);
    }
    for (int k = 0; k < 3; k++) {
        got[k] = zeros(ELEMENTS * SHIFTS * sizeof(double));
        want[k] = zeros(ELEMENTS * SHIFTS * sizeof(double));
    }
    for (int64_t p = 0; p < ELEMENTS; p++)
        for (int64_t k = 0; k < SHIFTS; k++) {
            int64_t events[LENGTH] = {0};
            memset(sums, 0, sizeof sums);
            for (int64_t t = 0, e = 0; t < LENGTH; t++)
                if (present[t])
                    events[t] = e++;
            for (int64_t t = begin; t < plan.end; t++)
                if (t + shift[k] >= 0 && present[t] && present[t + shift[k]]) {
                    const double u = value(p, events[t + shift[k]]), v = value(p, events[t]);
                    sums[0] += u * v;
                    sums[1] += u;
                    sums[2] += v;
                }
            for (int j = 0; j < (mode == PCA_MASKED ? 3 : 1); j++)
                want[j][p * SHIFTS + k] = sums[j];
        }
    arrays.g2 = got[0];
    arrays.ip = got[1];
    arrays.fut = got[2];
    scratch = zeros(2 * pca_scratch(&plan, size));
    if (pca_correlate(&plan, &arrays, is_double, 2, scratch) != PCA_OK)
        failures++;
    for (int k = 0; k < 3; k++)
        same((const char *[]){"g2", "ip", "if"}[k], pca_chosen_path(), is_double, got[k], want[k], ELEMENTS * SHIFTS);
    for (int64_t p = 0; p < ELEMENTS; p++)
        for (int64_t e = 0; e < OLD + NEW; e++)
            if (get(x, is_double, p * LD + e) != value(p, e)) {
                printf("%s: event %d of element %d is not in the storage\n", pca_chosen_path(), (int)e, (int)p);
                failures++;
                return;
            }
    for (int k = 0; k < 3; k++) {
        free(got[k]);
        free(want[k]);
    }
    free(scratch);
    free(x);
    free(block);
}

/* The library's runs of rows: `cut` pieces of each delay. */
static void test_pairs(int is_double, int cut)
{
    const int64_t delays = 4, rows = 300;
    const size_t size = is_double ? 8 : 4;
    void *x = zeros((size_t)(ELEMENTS * rows) * size);
    double *got = zeros((size_t)(3 * ELEMENTS * delays) * sizeof(double));
    double *want = zeros((size_t)(3 * ELEMENTS * delays) * sizeof(double));
    const size_t part = (size_t)(ELEMENTS * delays);
    pca_run *run = zeros((size_t)(delays * cut) * sizeof *run);
    int64_t start[5] = {0};
    const pca_matrix matrix = {x, 1, rows};
    pca_pairs pairs = {.run = run, .start = start, .delays = delays, .rows = rows, .elements = ELEMENTS,
                       .past = matrix, .future = matrix, .g2 = got, .ip = got + part, .fut = got + 2 * part,
                       .delay = 1, .element = delays, .sign = 1.0};
    char *scratch;

    for (int64_t p = 0; p < ELEMENTS; p++)
        for (int64_t e = 0; e < rows; e++)
            put(x, is_double, p * rows + e, value(p, e));
    for (int64_t d = 0; d < delays; d++) {
        const int32_t lag = (int32_t)(d * 29 + 1), most = (int32_t)((rows - lag) / cut);
        for (int32_t c = 0; c < cut; c++) {
            const pca_run r = {c * most, c * most + lag, most - (cut > 1)};
            run[start[d] + c] = r;
            for (int64_t p = 0; p < ELEMENTS; p++)
                for (int32_t k = 0; k < r.length; k++) {
                    const double u = value(p, r.i + k), v = value(p, r.j + k);
                    double *const at = want + p * delays + d;
                    at[0] += u * v;
                    at[part] += u;
                    at[2 * part] += v;
                }
        }
        start[d + 1] = start[d] + cut;
    }
    if (pca_prepare_pairs(&pairs, is_double) != PCA_OK)
        failures++;
    scratch = zeros(pca_pairs_scratch(&pairs, is_double, 2) + 64);
    if (pca_add_pairs(&pairs, is_double, 2, scratch) != PCA_OK)
        failures++;
    same("pairs", pca_chosen_path(), is_double, got, want, 3 * part);
    free(scratch);
    free(run);
    free(x);
    free(got);
    free(want);
}

int main(void)
{
    for (int n = 0; pca_path_name(n); n++)
        for (int is_double = 0; is_double < 2; is_double++) {
            if (pca_choose_path(pca_path_name(n)) != PCA_OK)
                failures++;
            test_correlate(is_double, PCA_ONLY_G2);
            test_correlate(is_double, PCA_MASKED);
            test_pairs(is_double, 1);
            test_pairs(is_double, 3);
            test_pairs(is_double, 40);
            if (is_double)
                printf("%s\n", pca_chosen_path());
        }
    return failures != 0;
}
