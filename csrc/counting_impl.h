/* Included once for each REAL, with VBYTES and TARGET: numbers of photons of a strip of elements. */

#ifndef COUNTING_ONCE
#define COUNTING_ONCE

#include "counting_bytes.h"

#define STRIP PCA_COUNT_STRIP
enum {
    VECTORS = STRIP / VBYTES,
    STRIPS = 4, /* rounded one after the other along a row: memory gives a kilobyte faster than four quarters */
    AHEAD = 4   /* rows of which values are fetched before they are needed */
};

typedef bytes strip_bytes[VECTORS];

/* The photons of a strip, a byte for each element: of all frames of all levels; 255: 255 or more. */
typedef struct {
    strip_bytes k[PCA_COUNT_FRAMES + 3];
    strip_bytes top[PCA_COUNT_LEVELS]; /* the largest number of each level */
    strip_bytes over; /* 255 where a number does not fit into a byte, or the element is spoilt */
} strip_of;

/* The elements of a strip that have the same colour, and count in all events. */
typedef struct {
    strip_bytes mask;
    int64_t color, elements;
} group_of;

/* The sums of four times a strip's bytes, 16 bits for each. */
TARGET static inline int64_t sum_four(const strip_bytes *v, const bytes *mask)
{
    eights sum = {0};
    for (int i = 0; i < 4; i++) {
        eights one = {0};
        for (int j = 0; j < VECTORS; j++)
            one += sum_eights(v[i][j] & mask[j]);
        sum += one << 16 * i;
    }
    uint64_t all = 0;
    for (int j = 0; j < EACH; j++)
        all += sum[j];
    return (int64_t)all;
}

TARGET static int largest_of(const bytes *top, const bytes *mask)
{
    union {
        strip_bytes v;
        uint8_t one[STRIP];
    } of;
    int largest = 0;
    for (int j = 0; j < VECTORS; j++)
        of.v[j] = top[j] & mask[j];
    for (int e = 0; e < STRIP; e++)
        largest = of.one[e] > largest ? of.one[e] : largest;
    return largest;
}

/* How many of the frames have 0, 1, ... largest photons, for each element: eight of these numbers at a time are the
 * bits of a byte, and what is added up for each bit are digits of its number. */
TARGET static void count_frames(const strip_of *s, int64_t begin, int64_t end, int largest, strip_bytes *histogram)
{
    for (int b = 0; b <= largest; b += 8)
        for (int j = 0; j < VECTORS; j++) {
            bytes digit[8] = {{0}};
            int64_t f = begin;
            for (; f + 8 <= end; f += 8) {
                bytes bits[8];
                for (int i = 0; i < 8; i++)
                    bits[i] = one_hot(s->k[f + i][j], b);
                add_eight(digit, bits);
            }
            for (; f < end; f++)
                add_to_digits(digit, 0, one_hot(s->k[f][j], b));
            turn_bits(digit);
            for (int i = 0; i < 8; i++)
                histogram[b + i][j] = digit[i];
        }
}

/* The windows of two halves. */
TARGET static void join_halves(const pca_counting *c, strip_of *s, int64_t p0, int width)
{
    for (int64_t level = 1; level < c->levels; level++) {
        const int32_t *const pending = c->pending + (level - 1) * c->elements + p0;
        bytes *const top = s->top[level];
        memset(top, 0, sizeof s->top[level]);
        for (int64_t f = c->first[level]; f < c->first[level + 1]; f++) {
            union {
                strip_bytes v;
                uint8_t one[STRIP];
            } begun = {{{0}}};
            const bytes *half = s->k[c->left[f] < 0 ? f : c->left[f]];
            if (c->left[f] < 0) {
                for (int e = 0; e < width; e++) /* -1 is more than 255, too */
                    begun.one[e] = (uint8_t)((uint32_t)pending[e] < 255 ? pending[e] : 255);
                half = begun.v;
            }
            for (int j = 0; j < VECTORS; j++) {
                s->k[f][j] = add_bounded(half[j], s->k[c->right[f]][j]);
                top[j] = larger_of(top[j], s->k[f][j]);
            }
        }
        for (int j = 0; j < VECTORS; j++)
            s->over[j] |= (bytes)(top[j] == 255);
    }
}

/* Put the numbers of the groups of one level where they belong. */
TARGET static void add_level(const pca_counting *c, const strip_of *s, int64_t level, const group_of *group, int groups,
                             const bytes *any, pca_counted *out)
{
    static _Thread_local strip_bytes histogram[PCA_COUNT_KMAX + 2];
    const int64_t begin = c->first[level], end = c->first[level + 1], slot = c->slot[level];
    if (slot < 0 || begin == end)
        return;
    const int most = largest_of(s->top[level], any), kmax = (int)c->kmax, largest = most < kmax ? most : kmax;
    count_frames(s, begin, end, largest, histogram);
    for (int g = 0; g < groups; g++) {
        int64_t *const counts = out->counts + (slot * c->colors + group[g].color) * (kmax + 2);
        int64_t rest = group[g].elements * (end - begin), photons = 0;
        int64_t four = 0;
        for (int b = 0; b <= largest; b++, four >>= 16) {
            if (b % 4 == 0)
                four = sum_four(histogram + b, group[g].mask);
            const int64_t n = four & 0xffff;
            counts[b] += n;
            rest -= n;
            photons += b * n;
        }
        counts[kmax + 1] += rest;
        if (rest) {
            photons = 0;
            for (int64_t f = begin; f < end; f++, four >>= 16) {
                if ((f - begin) % 4 == 0)
                    four = sum_four(s->k + f, group[g].mask);
                photons += four & 0xffff;
            }
        }
        out->photons[slot * c->colors + group[g].color] += photons;
    }
}

/* The colours of a strip: those of its elements that count in all events. */
TARGET static int groups_in(const int32_t *color, int width, const uint8_t *over, group_of *group)
{
    int groups = 0, last = 0, mixed = color[0] < 0;
    for (int e = 0; e < width; e++)
        mixed |= color[e] != color[0] || over[e];
    if (!mixed) {
        group[0] = (group_of){.color = color[0], .elements = width};
        memset(group[0].mask, 255, (size_t)width);
        return 1;
    }
    for (int e = 0; e < width; e++) {
        if (color[e] < 0 || over[e])
            continue;
        if (!groups || group[last].color != color[e]) {
            last = 0;
            while (last < groups && group[last].color != color[e])
                last++;
            if (last == groups)
                group[groups++] = (group_of){.color = color[e]};
        }
        ((uint8_t *)group[last].mask)[e] = 255;
        group[last].elements++;
    }
    return groups;
}

/* Ways to count photons, the fastest first: by a product as REAL, by one in float64, by division. */
enum { NARROW, WIDE, DIVIDED };

static inline float next_f32(float x, float to)
{
    return __builtin_nextafterf(x, to);
}

static inline double next_f64(double x, double to)
{
    return __builtin_nextafter(x, to);
}

#endif

/* floor(x / photon + 1/2) in float64. */
static int32_t NAME(photons_of)(REAL x, double threshold, double photon)
{
    if (!((double)x >= threshold))
        return 0;
    const double k = (double)x / photon + 0.5;
    return k < PCA_COUNT_MOST ? (int32_t)k : PCA_COUNT_MOST;
}

/* The same for a strip, 255 at the most. */
TARGET static inline __attribute__((always_inline)) void NAME(round_strip)(const REAL *x, REAL threshold, double photon, int way, uint8_t *k)
{
    /* a product is rounded: half a photon is what makes it right where it is right at all, see way_of */
    const REAL per = (REAL)(1 / photon), half = (REAL)0.5 - (sizeof(REAL) == 4 ? (REAL)0x1p-25 : (REAL)0x1p-54);
    const double per_wide = 1 / photon, half_wide = 0.5 + 2e-13;
    int32_t whole[STRIP];
    for (int e = 0; e < STRIP; e++) {
        if (way == NARROW) {
            REAL t = x[e] * per + half;
            t = x[e] >= threshold ? t : 0;
            whole[e] = (int32_t)(t < 255 ? t : 255);
        } else {
            double t = way == WIDE ? (double)x[e] * per_wide + half_wide : (double)x[e] / photon + 0.5;
            t = x[e] >= threshold ? t : 0;
            whole[e] = (int32_t)(t < 255 ? t : 255);
        }
    }
    for (int e = 0; e < STRIP; e++)
        k[e] = (uint8_t)whole[e];
}

/* The same for n elements of an event; as many at `ahead` are fetched. One function, so that what is true of some
 * values is true of all. */
TARGET static __attribute__((noinline)) void NAME(round_row)(const REAL *x, int64_t n, REAL threshold, double photon,
                                                             int way, strip_of *s, int64_t f, uintptr_t ahead)
{
    for (int64_t p = 0; p < n; p += STRIP) {
        uint8_t *const k = (uint8_t *)s[p / STRIP].k[f];
        const REAL *from = x + p;
        REAL padded[STRIP];
        for (size_t line = 0; line < sizeof padded; line += 64)
            __builtin_prefetch((const void *)(ahead + (size_t)p * sizeof(REAL) + line));
        if (n - p < STRIP) {
            memset(padded, 0, sizeof padded);
            from = memcpy(padded, from, (size_t)(n - p) * sizeof(REAL));
        }
        if (way == NARROW)
            NAME(round_strip)(from, threshold, photon, NARROW, k);
        else if (way == WIDE)
            NAME(round_strip)(from, threshold, photon, WIDE, k);
        else
            NAME(round_strip)(from, threshold, photon, DIVIDED, k);
    }
}

/* Two values for each number from 1 on: the smallest that has it, and the one before. */
static void NAME(ends_of)(double photon, int k, REAL *x)
{
    for (int e = 0; e < STRIP; e += 2, k++) {
        x[e] = (REAL)((k - 0.5) * photon);
        while (NAME(photons_of)(x[e], 0, photon) >= k)
            x[e] = NAME(next)(x[e], 0);
        while (NAME(photons_of)(x[e], 0, photon) < k) {
            x[e + 1] = x[e];
            x[e] = NAME(next)(x[e], (REAL)1e38);
        }
    }
}

/* The fastest way that is right for all values: every way's numbers grow with the value, so that it is enough to look
 * where the next number begins. */
static int NAME(way_of)(double photon, strip_of *s)
{
    static _Thread_local double known = 0;
    static _Thread_local int way;
    if (known == photon)
        return way;
    known = photon;
    for (way = NARROW; way < DIVIDED; way++) {
        int right = 1;
        for (int k = 1; k <= 255; k += STRIP / 2) {
            REAL x[STRIP];
            NAME(ends_of)(photon, k, x);
            NAME(round_row)(x, STRIP, 0, photon, way, s, 0, (uintptr_t)x);
            for (int e = 0; e < STRIP; e++) {
                const int32_t one = NAME(photons_of)(x[e], 0, photon);
                right &= ((const uint8_t *)s->k[0])[e] == (one < 255 ? one : 255);
            }
        }
        if (right)
            break;
    }
    return way;
}

/* One element by itself: it has many photons, or does not count in all events. */
static void NAME(count_alone)(const pca_counting *c, int64_t p, pca_counted *out)
{
    int32_t k[PCA_COUNT_FRAMES];
    const int64_t spoilt = c->spoilt ? c->spoilt[p] : INT64_MAX, color = c->color[p];
    for (int64_t f = 0; f < c->events; f++) {
        k[f] = c->number[f] < spoilt ? NAME(photons_of)(((const REAL *)c->row[f])[p], c->threshold, c->photon) : -1;
        if (k[f] >= 0 && color >= 0) {
            out->sums[f * c->colors + color] += k[f];
            out->number[f * c->colors + color]++;
        }
    }
    for (int64_t level = 1; level < c->levels; level++)
        for (int64_t f = c->first[level]; f < c->first[level + 1]; f++) {
            const int32_t half = c->left[f] < 0 ? c->pending[(level - 1) * c->elements + p] : k[c->left[f]];
            k[f] = half < 0 || k[c->right[f]] < 0 ? -1 : half + k[c->right[f]];
        }
    for (int64_t level = 0; level < c->levels; level++)
        for (int64_t f = c->first[level]; f < c->first[level + 1]; f++)
            if (c->slot[level] >= 0 && k[f] >= 0 && color >= 0) {
                const int64_t at = c->slot[level] * c->colors + color;
                out->counts[at * (c->kmax + 2) + (k[f] <= c->kmax ? k[f] : c->kmax + 1)]++;
                out->photons[at] += k[f];
            }
    for (int64_t level = 0; level < c->levels - 1; level++)
        if (c->last[level] >= 0)
            c->pending[level * c->elements + p] = k[c->last[level]];
    for (int64_t i = 0; i < c->n_kept; i++) {
        const int32_t v = k[c->kept[i].frame];
        c->kept[i].to[p] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

/* Put photons where they are kept, of elements that are not over. */
#define PUT(to, photons)                                     \
    for (int e = 0; e < width; e++)                          \
        (to)[e] = over[e] ? (to)[e] : ((const uint8_t *)(photons))[e]

/* Round the elements of some strips. */
TARGET static void NAME(round_events)(const pca_counting *c, int64_t p0, int64_t p1, int way, strip_of *s)
{
    REAL threshold = (REAL)c->threshold;
    if ((double)threshold < c->threshold) /* the smallest value that is not below it */
        threshold = NAME(next)(threshold, (REAL)1e38);
    for (int64_t f = 0; f < c->events; f++) {
        const int64_t next = f + AHEAD;
        const size_t at = (size_t)(next < c->events ? p0 : p1) * sizeof(REAL);
        const uintptr_t ahead = c->row[next < c->events ? next : next % c->events] + at;
        NAME(round_row)((const REAL *)c->row[f] + p0, p1 - p0, threshold, c->photon, way, s, f, ahead);
    }
}

/* Count the photons of a strip, rounded. */
TARGET static void NAME(count_strip)(const pca_counting *c, int64_t p0, int width, strip_of *s, pca_counted *out)
{
    static _Thread_local group_of group[STRIP];
    uint8_t *const over = (uint8_t *)s->over;
    const size_t following = (size_t)(p0 + STRIPS * STRIP) * sizeof(REAL);
    strip_bytes any = {{0}}, top = {{0}};
    for (int64_t f = 0; f < c->events; f++)
        for (int j = 0; j < VECTORS; j++)
            top[j] = larger_of(top[j], s->k[f][j]);
    for (int j = 0; j < VECTORS; j++)
        s->over[j] = (bytes)(top[j] == 255);
    memcpy(s->top[0], top, sizeof top);
    if (c->spoilt)
        for (int e = 0; e < width; e++)
            over[e] |= c->spoilt[p0 + e] != INT64_MAX ? 255 : 0;
    join_halves(c, s, p0, width);
    const int groups = groups_in(c->color + p0, width, over, group);
    for (int e = 0; e < width; e++)
        if (over[e])
            NAME(count_alone)(c, p0 + e, out);
    for (int g = 0; g < groups; g++) {
        for (int j = 0; j < VECTORS; j++)
            any[j] |= group[g].mask[j];
        out->whole[group[g].color] += group[g].elements;
        int64_t four = 0;
        for (int64_t f = 0; f < c->events; f++, four >>= 16) {
            if (f % 4 == 0)
                four = sum_four(s->k + f, group[g].mask);
            if (g == 0) /* memory works, too: for this strip's place among the next ones, into a cache further away */
                for (size_t line = 0; line < STRIP * sizeof(REAL); line += 64)
                    __builtin_prefetch((const void *)(c->row[f] + following + line), 0, 1);
            out->sums[f * c->colors + group[g].color] += four & 0xffff;
        }
    }
    if (groups)
        for (int64_t level = 0; level < c->levels; level++)
            add_level(c, s, level, group, groups, any, out);
    for (int64_t level = 0; level < c->levels - 1; level++)
        if (c->last[level] >= 0) {
            int32_t *const to = c->pending + level * c->elements + p0;
            PUT(to, s->k[c->last[level]]);
        }
    for (int64_t i = 0; i < c->n_kept; i++) {
        uint8_t *const to = c->kept[i].to + p0;
        PUT(to, s->k[c->kept[i].frame]);
    }
}

TARGET static void NAME(count)(const pca_counting *c, int64_t p0, int64_t p1, pca_counted *out)
{
    static _Thread_local strip_of strip[STRIPS];
    const int way = NAME(way_of)(c->photon, strip);
    for (; p0 < p1; p0 += STRIPS * STRIP) {
        const int64_t end = p1 - p0 < STRIPS * STRIP ? p1 : p0 + STRIPS * STRIP;
        NAME(round_events)(c, p0, end, way, strip);
        for (int64_t p = p0; p < end; p += STRIP)
            NAME(count_strip)(c, p, end - p < STRIP ? (int)(end - p) : STRIP, &strip[(p - p0) / STRIP], out);
    }
}

#undef PUT
