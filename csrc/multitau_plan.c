/* Passes of multi-tau: what follows from the counters alone. */
#include <string.h>

#include "multitau.h"

/* Positions of level 0 whose values of a tile, with those of the next one, fit into the second cache. */
#define LINE 640

int64_t pca_pass_length(const pca_levels *levels)
{
    return LINE + 2 * levels->channels;
}

/* Most stretches of a pass: each has its history and an event. */
static int64_t most_stretches(const pca_levels *levels)
{
    return pca_pass_length(levels) / (levels->channels + 1) + 1;
}

static void *take(char **at, int64_t n, size_t size)
{
    void *const here = *at;
    *at += ((size_t)n * size + 63) / 64 * 64;
    return here;
}

static size_t cut(const pca_levels *levels, char *memory, pca_pass *pass)
{
    const int64_t length = pca_pass_length(levels), stretches = most_stretches(levels);
    int64_t positions = 0;
    char *at = memory;
    for (int64_t level = 0; level < levels->levels; level++)
        positions += 2 * (levels->first[level + 1] - levels->first[level]) * ((length >> level) + stretches);
    pass->place = take(&at, length, sizeof *pass->place);
    pass->begin = take(&at, stretches, sizeof *pass->begin);
    pass->step = take(&at, stretches * levels->levels, sizeof *pass->step);
    pass->absent = take(&at, length + stretches * levels->levels, sizeof *pass->absent);
    pass->position = take(&at, positions, sizeof *pass->position);
    pass->start = take(&at, stretches * (2 * levels->delays + levels->levels), sizeof *pass->start);
    pass->column = take(&at, levels->delays, sizeof *pass->column);
    pass->offset = take(&at, length, sizeof *pass->offset);
    for (int k = 0; k < 2; k++)
        pass->flags[k] = take(&at, levels->channels + length + 2, 1);
    pass->loaded = take(&at, levels->levels, 1);
    pass->moved = take(&at, levels->levels, 1);
    pass->paired = take(&at, levels->levels, 1);
    return (size_t)(at - memory);
}

size_t pca_pass_size(const pca_levels *levels)
{
    static char nowhere[1];
    pca_pass pass;
    return cut(levels, nowhere, &pass);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int any(const uint8_t *flags, int64_t n)
{
    uint8_t found = 0;
    for (int64_t k = 0; k < n; k++)
        found |= flags[k];
    return found;
}

static int64_t number(const uint8_t *flags, int64_t n)
{
    int64_t sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += flags[k];
    return sum;
}

/* Write positions k where `has` is and `other` is not, counted from `shift`. */
static void list(pca_pass *pass, const uint8_t *has, const uint8_t *other, int64_t n, int64_t shift)
{
    int64_t at = pass->positions;
    pass->start[pass->starts++] = at;
    for (int64_t k = 0; k < n; k++) /* one more place is written than is kept */
        if (has[k] & !other[k])
            pass->position[at++] = (int32_t)(k + shift);
    pass->positions = at;
}

/* Count the pairs of a level, and list the frames that have no partner. */
static void pair(const pca_levels *levels, pca_pass *pass, int64_t level, const uint8_t *line, pca_step *step)
{
    const int64_t channels = levels->channels, n = step->length;
    const int64_t d0 = levels->first[level], d1 = levels->first[level + 1];
    const int whole = number(line, channels + n) == channels + n;
    if (!whole && d1 > d0)
        step->lost = pass->starts;
    for (int64_t d = d0; d < d1; d++) {
        const int64_t lag = levels->lag[d];
        const uint8_t *const later = line + channels, *const earlier = later - lag;
        int64_t pairs = n;
        if (!whole) {
            pairs = 0;
            for (int64_t k = 0; k < n; k++)
                pairs += earlier[k] & later[k];
            list(pass, earlier, later, n, channels - lag);
            list(pass, later, earlier, n, channels);
        }
        levels->counts[d] += pairs;
        step->pairs |= pairs > 0;
    }
    if (step->lost >= 0) {
        pass->start[pass->starts++] = pass->positions;
        pass->ends = 1;
    }
}

/* Plan one level of a stretch; `line` is what the level has there, `below` what the one below has. */
static void plan_step(const pca_levels *levels, pca_pass *pass, int64_t level, const int64_t *counter, int64_t m,
                      const uint8_t *below, uint8_t *line, pca_step *step)
{
    const int64_t channels = levels->channels, from = counter[0] >> level;
    const int64_t missing = from - (*levels->frontier >> level);
    int8_t *const present = levels->present + level * channels;
    const int had = any((const uint8_t *)present, channels);
    *step = (pca_step){0};
    step->lost = -1;
    step->gap = least(missing, channels);
    step->length = ((counter[m - 1] + 1) >> level) - from;
    memset(line, 0, (size_t)(channels + step->length));
    memcpy(line, present + step->gap, (size_t)(channels - step->gap));
    if (level == 0)
        for (int64_t k = 0; k < m; k++)
            line[channels + counter[k] - counter[0]] = 1;
    else if (below) {
        step->child = channels + 2 * from - (counter[0] >> (level - 1));
        step->absent = pass->absents;
        for (int64_t k = 0; k < step->length; k++) {
            line[channels + k] = below[step->child + 2 * k] & below[step->child + 2 * k + 1];
            pass->absent[pass->absents] = (int32_t)(channels + k);
            pass->absents += !line[channels + k];
        }
        step->absents = pass->absents - step->absent;
    }
    if (any(line + channels, step->length)) {
        pair(levels, pass, level, line, step);
        memcpy(present, line + step->length, (size_t)channels);
        if (step->pairs) {
            pass->paired[level] = 1;
            pass->fetches += ((levels->first[level + 1] - levels->first[level] + 7) / 8 + 1) *
                             ((step->length + PCA_CHUNK - 1) / PCA_CHUNK);
        }
    } else {
        step->gap = least(step->gap + step->length, channels);
        pass->absents -= step->absents;
        step->length = step->absents = 0;
        memmove(present, present + step->gap, (size_t)(channels - step->gap));
        memset(present + channels - step->gap, 0, (size_t)step->gap);
    }
    step->moves = step->length || (had && step->gap);
    pass->ends |= had && step->gap;
    pass->moved[level] |= (uint8_t)step->moves;
}

static void plan_stretch(const pca_levels *levels, pca_pass *pass, const int64_t *counter, int64_t m)
{
    pca_step *const steps = pass->step + pass->stretches * levels->levels;
    const uint8_t *below = NULL;
    const int64_t span = counter[m - 1] - counter[0] + 1;
    if (!*levels->begun)
        *levels->frontier = counter[0];
    for (int64_t level = 0; level < levels->levels; level++) {
        uint8_t *const line = pass->flags[level & 1];
        plan_step(levels, pass, level, counter, m, below, line, &steps[level]);
        below = steps[level].length ? line : NULL;
    }
    pass->begin[pass->stretches++] = pass->length;
    for (int64_t k = 0; k < m; k++)
        pass->place[pass->events + k] = pass->length + levels->channels + counter[k] - counter[0];
    pass->length += levels->channels + span;
    pass->events += m;
    *levels->frontier = counter[m - 1] + 1;
    *levels->begun = 1;
}

void pca_plan_pass(const pca_levels *levels, const int64_t *counter, int64_t m, void *memory, pca_pass *pass)
{
    const int64_t channels = levels->channels, gap = 2 * channels + 16;
    *pass = (pca_pass){.fetches = 1};
    cut(levels, memory, pass);
    memset(pass->moved, 0, (size_t)levels->levels);
    memset(pass->paired, 0, (size_t)levels->levels);
    for (int64_t d = 0; d < levels->delays; d++)
        pass->column[d] = d;
    for (int64_t level = 0; level < levels->levels; level++)
        pass->loaded[level] = any((const uint8_t *)levels->present + level * channels, channels) != 0;
    while (pass->events < m) {
        const int64_t *const at = counter + pass->events;
        const int64_t room = pca_pass_length(levels) - pass->length - channels;
        int64_t n = 1;
        if (room < 1)
            break;
        while (n < m - pass->events && at[n] - at[n - 1] <= gap && at[n] - at[0] < room)
            n++;
        plan_stretch(levels, pass, at, n);
        if (pass->length - pass->begin[pass->stretches - 1] > pass->longest)
            pass->longest = pass->length - pass->begin[pass->stretches - 1];
    }
}
