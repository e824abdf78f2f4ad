/* One code path for one type: included with REAL, NAME(x), VBYTES and TARGET defined. */
#include "panel_impl.h"
#include "sums_impl.h"

SHIFTS(8)

/* A thread's memory; pca_multitau_scratch knows how much that is. */
typedef struct {
    double *g2; /* slots x LANES: each level's delays, and what fills up fours; so are ip and fut */
    double *ip;
    double *fut;
    double *total;   /* levels x LANES */
    REAL *history;   /* levels x channels */
    REAL *line[2];   /* of levels above 0, in turns */
    REAL *tile;      /* of level 0: panel by panel */
    int64_t step;    /* from panel to panel: they do not share the sets of a cache */
} NAME(levels);

static void NAME(cut)(const pca_levels *levels, const pca_pass *pass, void *scratch, NAME(levels) *m)
{
    const int64_t slots = pca_slots(levels), half = pass->longest / 2 + levels->channels + 2;
    m->g2 = scratch;
    m->ip = m->g2 + slots * LANES;
    m->fut = m->ip + slots * LANES;
    m->total = m->fut + slots * LANES;
    m->history = (REAL *)(m->total + levels->levels * LANES);
    m->line[1] = m->history + levels->levels * levels->channels * LANES;
    m->line[0] = m->line[1] + half * LANES;
    m->tile = m->line[0] + half * LANES;
    m->step = pass->length * LANES + (int64_t)(64 / sizeof(REAL));
    /* positions without an event stay zero for all elements */
    memset(m->tile, 0, (size_t)(PCA_TILE / LANES * m->step) * sizeof(REAL));
}

/* tile[panel][place of the event][lane] = values of `count` elements from p on; lanes without an element are 0. */
TARGET static void NAME(gather)(const pca_pass *pass, const uintptr_t *rows, int64_t p, int64_t count,
                                const NAME(levels) *m)
{
    const int64_t whole = count / LANES * LANES;
    for (int64_t k = 0; k < pass->events; k++) {
        const REAL *const row = (const REAL *)rows[k] + p;
        REAL *to = m->tile + pass->place[k] * LANES;
        for (int64_t e = 0; e < whole; e += LANES, to += m->step)
            *(NAME(vec) *)to = LOOSE(row + e);
        if (whole < count) {
            *(NAME(vec) *)to = (NAME(vec)){0};
            for (int64_t e = whole; e < count; e++)
                to[e - whole] = row[e];
        }
    }
}

/* Products of the new frames with all that have the lags of a level, eight or four lags at once. */
TARGET static void NAME(products)(const pca_levels *levels, int64_t level, const REAL *line, int64_t length,
                                  double *sum, pca_ahead *ahead)
{
    const REAL *const later = line + levels->channels * LANES;
    const int64_t d1 = levels->first[level + 1];
    for (int64_t d = levels->first[level]; d < d1;) {
        const int64_t count = d1 - d > 4 ? 8 : 4;
        const REAL *from[8];
        for (int64_t j = 0; j < count; j++)
            from[j] = later - levels->lag[d + j < d1 ? d + j : d1 - 1] * LANES;
        if (count == 8)
            NAME(shifts_8)(later, from, length, sum, ahead);
        else
            NAME(shifts_4)(later, from, length, sum, ahead);
        d += count;
        sum += count * LANES;
    }
}

/* The frames that have found no partner are taken from what the total will give for them. */
TARGET static void NAME(take_away)(const REAL *line, const int32_t *position, int64_t n, double *from)
{
    double sum[LANES] = {0};
    for (int64_t k = 0; k < n; k++) {
        const REAL *const at = line + position[k] * LANES;
        ADD_TO(sum, LOW(at), HIGH(at));
    }
    for (int64_t e = 0; e < LANES; e++)
        from[e] -= sum[e];
}

/* One level of a stretch. `below`: the first halves of the new frames. */
TARGET static void NAME(level)(const pca_levels *levels, const pca_pass *pass, const pca_step *step, int64_t level,
                               int64_t slot, const REAL *below, REAL *line, const NAME(levels) *m,
                               pca_ahead *ahead)
{
    const int64_t channels = levels->channels, gap = step->gap, kept = channels - gap;
    const int64_t d0 = levels->first[level], d1 = levels->first[level + 1];
    REAL *const history = m->history + level * channels * LANES;
    double *const ip = m->ip + slot * LANES, *const fut = m->fut + slot * LANES;
    if (gap)
        for (int64_t d = d0; d < d1; d++) {
            const int64_t lag = levels->lag[d];
            double sum[LANES] = {0};
            NAME(add)(history + (channels - lag) * LANES, lag < gap ? lag : gap, sum);
            for (int64_t e = 0; e < LANES; e++)
                ip[(d - d0) * LANES + e] -= sum[e];
        }
    if (step->length == 0) {
        memmove(history, history + gap * LANES, (size_t)kept * VBYTES);
        memset(history + kept * LANES, 0, (size_t)gap * VBYTES);
        return;
    }
    memcpy(line, history + gap * LANES, (size_t)kept * VBYTES);
    memset(line + kept * LANES, 0, (size_t)gap * VBYTES);
    if (below)
        for (int64_t k = 0; k < step->length; k++)
            *(NAME(vec) *)(line + (channels + k) * LANES) =
                (VEC(below + 2 * k * LANES) + VEC(below + (2 * k + 1) * LANES)) * (REAL)0.5;
    for (int64_t k = 0; k < step->absents; k++)
        *(NAME(vec) *)(line + pass->absent[step->absent + k] * LANES) = (NAME(vec)){0};
    NAME(add)(line + channels * LANES, step->length, m->total + level * LANES);
    if (step->pairs)
        NAME(products)(levels, level, line, step->length, m->g2 + slot * LANES, ahead);
    if (step->lost >= 0)
        for (int64_t k = 0; k < d1 - d0; k++) {
            const int64_t *const start = pass->start + step->lost + 2 * k;
            NAME(take_away)(line, pass->position + start[0], start[1] - start[0], ip + k * LANES);
            NAME(take_away)(line, pass->position + start[1], start[2] - start[1], fut + k * LANES);
        }
    memcpy(history, line + step->length * LANES, (size_t)channels * VBYTES);
}

/* All stretches of a panel, whose history is laid out. */
TARGET static void NAME(stretches)(const pca_levels *levels, const pca_pass *pass, REAL *tile,
                                   const NAME(levels) *m, pca_ahead *ahead)
{
    for (int64_t s = 0; s < pass->stretches; s++) {
        const pca_step *const steps = pass->step + s * levels->levels;
        REAL *line = tile + pass->begin[s] * LANES;
        int64_t slot = 0;
        for (int64_t level = 0; level < levels->levels; level++) {
            const REAL *const below = level ? line + steps[level].child * LANES : NULL;
            if (level)
                line = m->line[level & 1];
            if (steps[level].moves)
                NAME(level)(levels, pass, &steps[level], level, slot, below, line, m, ahead);
            slot += (levels->first[level + 1] - levels->first[level] + 3) / 4 * 4;
        }
    }
}

/* Put a panel's sums and history back. */
TARGET static void NAME(put_back)(const pca_levels *levels, const pca_pass *pass, const pca_series *series,
                                  int64_t p, int64_t count, const NAME(levels) *m)
{
    const int64_t channels = levels->channels, ld = levels->levels * channels, delays = levels->delays;
    int64_t slot = 0;
    for (int64_t level = 0; level < levels->levels; level++) {
        const int64_t d0 = levels->first[level], columns = levels->first[level + 1] - d0;
        const int64_t *const column = pass->column + d0;
        if (pass->paired[level])
            NAME(scatter)(column, columns, delays, m->g2 + slot * LANES, 1.0, count, series->g2 + p * delays);
        if (pass->moved[level]) {
            if (pass->ends) {
                NAME(scatter)(column, columns, delays, m->ip + slot * LANES, 1.0, count, series->ip + p * delays);
                NAME(scatter)(column, columns, delays, m->fut + slot * LANES, 1.0, count, series->fut + p * delays);
            }
            for (int64_t e = 0; e < count; e++)
                series->total[(p + e) * levels->levels + level] += m->total[level * LANES + e];
            NAME(keep)(m->history + level * channels * LANES,
                       (pca_run){0, (int32_t)(level * channels), (int32_t)channels}, count,
                       (REAL *)series->history + p * ld, ld);
        }
        slot += (columns + 3) / 4 * 4;
    }
}

/* What is fetched for the panels to come, while one is at work. */
static void NAME(look_ahead)(const pca_levels *levels, const pca_pass *pass, const pca_series *series, int64_t p,
                             int64_t p1, int first_of_tile, pca_ahead *ahead)
{
    const int64_t next = p + LANES;
    const pca_plan plan = {.source = pass->offset, .n_new = pass->events};
    if (first_of_tile && p + PCA_TILE < p1)
        pca_begin_tile(ahead, &plan, (const char *)series->rows[0] + (size_t)(p + PCA_TILE) * sizeof(REAL), 1,
                       PCA_TILE / LANES * pass->fetches);
    if (next < p1) {
        const int64_t more = p1 - next < LANES ? p1 - next : LANES;
        ahead->result[0] = (const char *)(series->g2 + next * levels->delays);
        ahead->result[1] = pass->ends ? (const char *)(series->ip + next * levels->delays) : NULL;
        ahead->result[2] = pass->ends ? (const char *)(series->fut + next * levels->delays) : NULL;
        pca_begin_panel(ahead, &plan, 0, NULL, 0, more, sizeof(REAL),
                        (size_t)(more * levels->delays) * sizeof(double), pass->fetches);
    }
}

TARGET static void NAME(multitau)(const pca_levels *levels, const pca_pass *pass, const pca_series *series,
                                  int64_t p0, int64_t p1, void *scratch)
{
    const int64_t channels = levels->channels, ld = levels->levels * channels;
    const size_t sums = (size_t)((3 * pca_slots(levels) + levels->levels) * LANES) * sizeof(double);
    NAME(levels) m;
    pca_ahead ahead = {0};
    NAME(cut)(levels, pass, scratch, &m);
    for (int64_t p = p0; p < p1; p += LANES) {
        const int64_t count = p1 - p < LANES ? p1 - p : LANES, in_tile = (p - p0) % PCA_TILE;
        const REAL *column[LANES];
        if (in_tile == 0)
            NAME(gather)(pass, series->rows, p, p1 - p < PCA_TILE ? p1 - p : PCA_TILE, &m);
        NAME(look_ahead)(levels, pass, series, p, p1, in_tile == 0, &ahead);
        NAME(columns)((const REAL *)series->history + p * ld, ld, count, column);
        memset(m.g2, 0, sums);
        for (int64_t level = 0; level < levels->levels; level++) {
            const pca_run run = {(int32_t)(level * channels), (int32_t)(level * channels), (int32_t)channels};
            if (pass->loaded[level])
                NAME(lay)(column, run, m.history);
            else
                memset(m.history + level * channels * LANES, 0, (size_t)channels * VBYTES);
        }
        NAME(stretches)(levels, pass, m.tile + in_tile / LANES * m.step, &m, &ahead);
        NAME(put_back)(levels, pass, series, p, count, &m);
    }
}

#include "undefine.h"
