/* The changes of one element, for each code path: divisions are most of the work, and wider vectors do more of them at
 * once. */
#ifndef PCA_LEVERAGE_IMPL_H
#define PCA_LEVERAGE_IMPL_H

#include "leverage.h"

#include <math.h>

enum { LANES = 4 };

/* Return the largest |change| x weight of an element. */
static inline __attribute__((always_inline)) double
find_by_any(const pca_leverage *c, int64_t group, const double *restrict g2, const double *restrict ip,
            const double *restrict fut, double *restrict change, double *restrict sum, double *restrict square)
{
    const int64_t n = c->delays, at = group * n;
    const double *restrict const all_g2 = c->g2 + at;
    const double *restrict const all_ip = c->ip + at;
    const double *restrict const all_fut = c->fut + at;
    const double *restrict const factor = c->factor + at;
    const double *restrict const rest = c->rest + at;
    const double *restrict const weight = c->weight + at;
    double most[LANES] = {0}, largest = 0;
    for (int64_t d = 0; d < n; d++) {
        const double bottom = (all_ip[d] - ip[d]) * (all_fut[d] - fut[d]);
        const double by = rest[d] + factor[d] * (all_g2[d] - g2[d]) / (bottom == 0 ? 1 : bottom);
        change[d] = bottom == 0 ? 0 : by;
        sum[d] += change[d];
        square[d] += change[d] * change[d];
    }
    int64_t d = 0;
    for (; d + LANES <= n; d += LANES)
        for (int k = 0; k < LANES; k++) {
            const double pull = fabs(change[d + k]) * weight[d + k];
            most[k] = pull > most[k] ? pull : most[k];
        }
    for (; d < n; d++) {
        const double pull = fabs(change[d]) * weight[d];
        largest = pull > largest ? pull : largest;
    }
    for (int k = 0; k < LANES; k++)
        largest = most[k] > largest ? most[k] : largest;
    return largest;
}

#endif
