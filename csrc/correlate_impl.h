/* One code path for one type: included with REAL, NAME(x), VBYTES and TARGET defined. */
#include "panel_impl.h"
#include "shifts_impl.h"
#include "ends_impl.h"

/* to[e] += each lane's sum of squares of n values, which need not be exact */
TARGET static void NAME(add_squares)(const REAL *values, int64_t n, double *to)
{
    for (int64_t k = 0; k < n; k += PCA_INNER) {
        NAME(vec) s = {0};
        for (int64_t j = k; j < n && j < k + PCA_INNER; j++)
            s += VEC(values + j * LANES) * VEC(values + j * LANES);
        for (int64_t e = 0; e < LANES; e++)
            to[e] += (double)s[e];
    }
}

/* From panel to panel of a tile's new values: the panels do not share the sets of a cache. */
static inline int64_t NAME(step)(const pca_plan *plan)
{
    return plan->n_new * LANES + (int64_t)(64 / sizeof(REAL));
}

/* tile[panel][k][e] = new event k of `count` elements, whose first one is at `block` in the first row; lanes
 * without an element are 0. All panels of a tile at once: a row of the block is a page of its own, and to find
 * that takes longer than to read it. */
TARGET static void NAME(gather)(const pca_plan *plan, const REAL *block, int64_t ld_block, int64_t count,
                                REAL *tile)
{
    const int64_t step = NAME(step)(plan), whole = count / LANES * LANES;
    for (int64_t k = 0; k < plan->n_new; k++) {
        const REAL *const row = block + plan->source[k] * ld_block;
        REAL *to = tile + k * LANES;
        for (int64_t e = 0; e < whole; e += LANES, to += step)
            *(NAME(vec) *)to = LOOSE(row + e);
        if (whole < count) {
            *(NAME(vec) *)to = (NAME(vec)){0};
            for (int64_t e = whole; e < count; e++)
                to[e - whole] = row[e];
        }
    }
}

/* A thread's memory, cut from its scratch; pca_scratch in correlate.c knows how much that is. */
typedef struct {
    REAL *zeros;
    REAL *line;
    REAL *n;
    REAL *tile;        /* new values: panel by panel */
    const REAL *fresh; /* those of the panel at work */
    REAL *has;
    REAL *is_new;
    double *g2; /* shifts x LANES, as are ip and fut */
    double *ip;
    double *fut;
} NAME(memory);

static void NAME(cut)(const pca_plan *plan, void *scratch, NAME(memory) *m)
{
    const int64_t span = plan->end - plan->begin, sums = plan->shifts * LANES;
    double *at = scratch;
    m->g2 = at;
    m->ip = m->g2 + sums;
    m->fut = m->ip + sums;
    m->zeros = (REAL *)(m->fut + sums);
    m->line = m->zeros + 2 * PCA_STRIP * LANES;
    m->n = m->line + (plan->length + PCA_STRIP) * LANES;
    m->tile = m->n + (plan->all_new ? 0 : span) * LANES;
    m->has = m->tile + PCA_TILE / LANES * NAME(step)(plan) + PCA_STRIP;
    m->is_new = m->has + plan->length + PCA_STRIP;
    /* Positions without a value stay zero for every element. */
    memset(m->zeros, 0, (size_t)((char *)m->tile - (char *)m->zeros));
    m->fresh = m->tile;
    if (plan->mode == PCA_MASKED && plan->shifts) {
        for (int64_t t = -PCA_STRIP; t < plan->length + PCA_STRIP; t++)
            m->has[t] = t >= 0 && t < plan->length ? plan->present[t] : 0;
        for (int64_t t = 0; t < span; t++)
            m->is_new[t] = plan->is_new[t];
    }
}

/* Lay the new events of a panel on the line. */
TARGET static void NAME(lay_new)(const pca_plan *plan, const NAME(memory) *m)
{
    for (int64_t r = 0; r < plan->n_fresh; r++) {
        const pca_run run = plan->fresh[r];
        const REAL *const from = m->fresh + run.i * LANES;
        memcpy(m->line + run.j * LANES, from, (size_t)run.length * VBYTES);
        if (!plan->all_new && plan->shifts)
            memcpy(m->n + (run.j - plan->begin) * LANES, from, (size_t)run.length * VBYTES);
    }
}

/* Whether there are new events before the largest delay. */
static inline int NAME(has_heads)(const pca_plan *plan)
{
    return plan->mode == PCA_DEFERRED && plan->shifts && -plan->shift[plan->shifts - 1] > plan->begin;
}

/* Whether IP and IF get anything now. */
static inline int NAME(changes_ends)(const pca_plan *plan)
{
    return plan->mode != PCA_ONLY_G2 && (plan->mode != PCA_DEFERRED || plan->missing || plan->defer ||
                                         NAME(has_heads)(plan));
}

/* The pairs of one panel; its old values are on the line. */
TARGET static void NAME(pairs)(const pca_plan *plan, const pca_arrays *arrays, int64_t p,
                               int64_t count, const NAME(memory) *m,
                               pca_ahead *ahead)
{
    const int with_g2 = arrays->g2 != NULL;
    const int with_both = plan->mode != PCA_ONLY_G2;
    double *const g2 = with_g2 ? arrays->g2 + p * plan->delays : NULL;
    double *const ip = with_both ? arrays->ip + p * plan->delays : NULL;
    double *const fut = with_both ? arrays->fut + p * plan->delays : NULL;
    const size_t size = (size_t)(plan->shifts * LANES) * sizeof(double);
    NAME(stretch) s = {m->line + plan->begin * LANES, m->line, m->zeros, plan->begin, plan->end,
                       plan->gone, plan->length, 1};
    if (!plan->all_new)
        s.n = m->n;
    memset(m->g2, 0, with_both ? 3 * size : size);
    if (plan->gone) {
        /* as far as a window may reach beyond the old values, there are none of the panel before */
        const int64_t beyond = plan->length - plan->begin < PCA_STRIP ? plan->length - plan->begin : PCA_STRIP;
        const NAME(stretch) leaving = {m->line, m->line, m->zeros, 0, plan->gone, 0, plan->begin, -1};
        memset(m->line + plan->begin * LANES, 0, (size_t)beyond * VBYTES);
        NAME(all_shifts)(plan, &leaving, m->g2, ahead);
        for (int64_t k = 0; k < plan->shifts * LANES; k++)
            m->g2[k] = -m->g2[k];
        memset(m->line, 0, (size_t)plan->gone * VBYTES);
    }
    if (plan->defer)
        NAME(tails)(plan, m->line, plan->begin, 1.0, m->ip);
    NAME(lay_new)(plan, m);
    if (plan->mode == PCA_MASKED)
        NAME(all_masked)(plan, &s, m->is_new, m->has, m->g2, m->ip, m->fut);
    else if (with_g2)
        NAME(all_shifts)(plan, &s, m->g2, ahead);
    if (plan->mode == PCA_DEFERRED) {
        double total[LANES] = {0};
        NAME(add)(m->fresh, plan->n_new, total);
        for (int64_t e = 0; e < count; e++)
            arrays->total[p + e] += total[e];
        if (NAME(has_heads)(plan))
            NAME(heads)(plan, m->line, m->fut);
    } else if (plan->mode == PCA_ENDS)
        NAME(without_ends)(plan, m->line, m->ip, m->fut);
    if (plan->missing)
        NAME(missing)(plan, m->line, m->ip, m->fut);
    if (with_g2)
        NAME(scatter)(plan->column, plan->shifts, plan->delays, m->g2, plan->sign, count, g2);
    if (NAME(changes_ends)(plan)) {
        NAME(scatter)(plan->column, plan->shifts, plan->delays, m->ip, plan->sign, count, ip);
        NAME(scatter)(plan->column, plan->shifts, plan->delays, m->fut, plan->sign, count, fut);
    }
    if (plan->start)
        NAME(given_runs)(plan, m->line, count, g2, ip, fut);
}

TARGET static void NAME(correlate)(const pca_plan *plan, const pca_arrays *arrays, int64_t p0,
                                   int64_t p1, void *scratch)
{
    REAL *const x = arrays->x;
    const int64_t ld = arrays->ld;
    const int64_t calls = NAME(fetches)(plan, plan->end - plan->begin) +
                          (plan->gone ? NAME(fetches)(plan, plan->gone) : 0);
    const int64_t values = pca_values(plan->old, plan->n_old);
    const int ends = NAME(changes_ends)(plan);
    NAME(memory) m;
    pca_ahead ahead = {0};

    NAME(cut)(plan, scratch, &m);
    for (int64_t p = p0; p < p1; p += LANES) {
        const int64_t count = p1 - p < LANES ? p1 - p : LANES;
        const int64_t next = p + LANES;
        const REAL *column[LANES];
        const int64_t in_tile = (p - p0) % PCA_TILE;
        if (in_tile == 0 && plan->n_new) {
            const REAL *const block = (const REAL *)arrays->block + p;
            if (p + PCA_TILE < p1)
                pca_begin_tile(&ahead, plan, (const char *)(block + PCA_TILE),
                               (size_t)arrays->ld_block * sizeof(REAL), PCA_TILE / LANES * calls);
            NAME(gather)(plan, block, arrays->ld_block, p1 - p < PCA_TILE ? p1 - p : PCA_TILE, m.tile);
        }
        m.fresh = m.tile + in_tile / LANES * NAME(step)(plan);
        if (next < p1) {
            const int64_t more = p1 - next < LANES ? p1 - next : LANES;
            const double *const results[3] = {arrays->g2, ends ? arrays->ip : NULL, ends ? arrays->fut : NULL};
            for (int k = 0; k < 3; k++)
                ahead.result[k] = results[k] ? (const char *)(results[k] + next * plan->delays) : NULL;
            pca_begin_panel(&ahead, plan, values, (const char *)(x + next * ld),
                            (size_t)ld * sizeof(REAL), more, sizeof(REAL),
                            (size_t)(more * plan->delays) * sizeof(double), calls);
        }
        NAME(columns)(x + p * ld, ld, count, column);
        for (int64_t r = 0; r < plan->n_old; r++)
            NAME(lay)(column, plan->old[r], m.line);
        NAME(pairs)(plan, arrays, p, count, &m, &ahead);
        if (arrays->energy) {
            double energy[LANES] = {0};
            NAME(add_squares)(m.fresh, plan->n_new, energy);
            for (int64_t e = 0; e < count; e++)
                arrays->energy[p + e] += energy[e];
        }
        for (int64_t r = 0; r < plan->n_keep; r++)
            NAME(keep)(m.fresh, plan->keep[r], count, x + p * ld, ld);
    }
}

#include "undefine.h"
