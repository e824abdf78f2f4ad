/* Included once for each REAL, with VBYTES and TARGET: numbers of photons of a strip of elements. */

#ifndef COUNTING_ONCE
#define COUNTING_ONCE

#define STRIP PCA_COUNT_STRIP
enum { VECTORS = STRIP / VBYTES, EACH = VBYTES / 8 };

typedef uint8_t bytes __attribute__((vector_size(VBYTES)));
typedef uint16_t pairs_of __attribute__((vector_size(VBYTES)));
typedef uint64_t eights __attribute__((vector_size(VBYTES)));

/* The photons of a strip, a byte for each element: of all frames of all levels; 255 may stand for more. */
typedef struct {
    bytes k[PCA_COUNT_FRAMES][VECTORS];
    bytes over[VECTORS]; /* 255 where a number does not fit into a byte, or the element is spoilt */
    uint8_t histogram[PCA_COUNT_KMAX + 1][STRIP] __attribute__((aligned(64)));
} strip_of;

/* The elements of a strip that have the same colour, and count in all events. */
typedef struct {
    bytes mask[VECTORS];
    int64_t color, elements;
} group_of;

TARGET static inline int64_t sum_masked(const bytes *v, const bytes *mask)
{
    pairs_of two = {0};
    for (int j = 0; j < VECTORS; j++) {
        const pairs_of x = (pairs_of)(v[j] & mask[j]);
        two += (x & 255) + (x >> 8);
    }
    eights sum = (eights)two;
    sum = (sum & 0x0000ffff0000ffffu) + ((sum >> 16) & 0x0000ffff0000ffffu);
    uint64_t all = 0;
    for (int j = 0; j < EACH; j++)
        all += sum[j];
    return (int64_t)((all & 0xffffffffu) + (all >> 32));
}

/* The largest number of a level among the elements of the mask. */
TARGET static int largest_of(const strip_of *s, int64_t begin, int64_t end, const bytes *mask)
{
    union {
        bytes v[VECTORS];
        uint8_t one[STRIP];
    } top;
    int largest = 0;
    for (int j = 0; j < VECTORS; j++) {
        bytes most = {0};
        for (int64_t f = begin; f < end; f++) {
            const bytes more = (bytes)(s->k[f][j] > most);
            most = (s->k[f][j] & more) | (most & ~more);
        }
        top.v[j] = most & mask[j];
    }
    for (int e = 0; e < STRIP; e++)
        largest = top.one[e] > largest ? top.one[e] : largest;
    return largest;
}

/* How many of the frames have 0, 1, ... largest photons, for each element. */
TARGET static void count_frames(strip_of *s, int64_t begin, int64_t end, int largest)
{
    for (int b = 0; b <= largest; b += 4)
        for (int j = 0; j < VECTORS; j++) {
            bytes a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
            for (int64_t f = begin; f < end; f++) {
                const bytes k = s->k[f][j];
                a0 -= (bytes)(k == (uint8_t)b);
                a1 -= (bytes)(k == (uint8_t)(b + 1));
                a2 -= (bytes)(k == (uint8_t)(b + 2));
                a3 -= (bytes)(k == (uint8_t)(b + 3));
            }
            const bytes all[4] = {a0, a1, a2, a3};
            for (int i = 0; i < 4 && b + i <= largest; i++)
                *(bytes *)(void *)&s->histogram[b + i][j * VBYTES] = all[i];
        }
}

/* The windows of two halves. */
TARGET static void join_halves(const pca_counting *c, strip_of *s, int64_t p0, int width)
{
    for (int64_t level = 1; level < c->levels; level++) {
        const int32_t *const pending = c->pending + (level - 1) * c->elements + p0;
        for (int64_t f = c->first[level]; f < c->first[level + 1]; f++) {
            union {
                bytes v[VECTORS];
                uint8_t one[STRIP];
            } begun;
            const bytes *half = s->k[c->left[f] < 0 ? f : c->left[f]];
            if (c->left[f] < 0) {
                for (int e = 0; e < STRIP; e++) {
                    const int32_t v = e < width ? pending[e] : 0;
                    begun.one[e] = (uint8_t)(v < 0 || v > 255 ? 255 : v);
                    if (v < 0 || v > 255)
                        ((uint8_t *)s->over)[e] = 255;
                }
                half = begun.v;
            }
            for (int j = 0; j < VECTORS; j++) {
                const bytes a = half[j], sum = a + s->k[c->right[f]][j], wrapped = (bytes)(sum < a);
                s->over[j] |= wrapped;
                s->k[f][j] = sum | wrapped;
            }
        }
    }
}

/* Put the numbers of the groups of one level where they belong. */
TARGET static void add_level(const pca_counting *c, strip_of *s, int64_t level, const group_of *group, int groups,
                             const bytes *any, pca_counted *out)
{
    const int64_t begin = c->first[level], end = c->first[level + 1], slot = c->slot[level];
    if (slot < 0 || begin == end)
        return;
    const int most = largest_of(s, begin, end, any), kmax = (int)c->kmax, largest = most < kmax ? most : kmax;
    count_frames(s, begin, end, largest);
    for (int g = 0; g < groups; g++) {
        int64_t *const counts = out->counts + (slot * c->colors + group[g].color) * (kmax + 2);
        int64_t rest = group[g].elements * (end - begin), photons = 0;
        for (int b = 0; b <= largest; b++) {
            const int64_t n = sum_masked((const bytes *)(const void *)s->histogram[b], group[g].mask);
            counts[b] += n;
            rest -= n;
            photons += b * n;
        }
        counts[kmax + 1] += rest;
        if (rest) {
            photons = 0;
            for (int64_t f = begin; f < end; f++)
                photons += sum_masked(s->k[f], group[g].mask);
        }
        out->photons[slot * c->colors + group[g].color] += photons;
    }
}

#endif

typedef __typeof__(__builtin_choose_expr(sizeof(REAL) == 4, (int32_t)0, (int64_t)0)) NAME(whole);
typedef REAL NAME(reals) __attribute__((vector_size(VBYTES)));
typedef NAME(whole) NAME(wholes) __attribute__((vector_size(VBYTES)));

/* floor(x / photon + 1/2) in float64. */
static int32_t NAME(photons_of)(REAL x, const pca_counting *c)
{
    if (!((double)x >= c->threshold))
        return 0;
    const double k = (double)x / c->photon + 0.5;
    return k < PCA_COUNT_MOST ? (int32_t)k : PCA_COUNT_MOST;
}

/* The same for a strip: as REAL where that cannot be wrong, and numbers are bytes; over: 255 where they are not. */
TARGET static inline void NAME(round_strip)(const REAL *x, const pca_counting *c, REAL threshold, uint8_t *k,
                                            uint8_t *over)
{
    const REAL photon = (REAL)c->photon, per = 1 / photon, most = PCA_COUNT_MOST;
    const REAL slack = sizeof(REAL) == 4 ? (REAL)1e-6 : (REAL)2e-15; /* a few roundings */
    enum { LANES = VBYTES / (int)sizeof(REAL) };
    union {
        NAME(wholes) v[STRIP / LANES];
        NAME(whole) one[STRIP];
    } found;
    const NAME(reals) all = {0}, top = all + most;
    const NAME(wholes) magnitude = ~(NAME(wholes))(-all);
    NAME(wholes) unsure = {0};
    int doubt = 0;
    for (int j = 0; j < STRIP / LANES; j++) {
        NAME(reals) v;
        memcpy(&v, x + j * LANES, VBYTES);
        v = (NAME(reals))((NAME(wholes))v & (NAME(wholes))(v >= threshold));
        NAME(reals) q = v * per;
        const NAME(wholes) fits = (NAME(wholes))(q < most);
        q = (NAME(reals))(((NAME(wholes))q & fits) | ((NAME(wholes))top & ~fits));
        const NAME(wholes) below = __builtin_convertvector(q, NAME(wholes));
        const NAME(reals) beyond = v - (__builtin_convertvector(below, NAME(reals)) + (REAL)0.5) * photon;
        found.v[j] = below - (NAME(wholes))(beyond >= 0);
        unsure |= (NAME(wholes))((NAME(reals))((NAME(wholes))beyond & magnitude) <= slack * v);
    }
    for (int i = 0; i < LANES; i++)
        doubt |= unsure[i] != 0;
    if (doubt)
        for (int e = 0; e < STRIP; e++)
            found.one[e] = NAME(photons_of)(x[e], c);
    for (int e = 0; e < STRIP; e++) {
        k[e] = (uint8_t)(found.one[e] < 255 ? found.one[e] : 255);
        over[e] = (uint8_t)(over[e] | (found.one[e] > 255 ? 255 : 0));
    }
}

/* One element by itself: it has many photons, or does not count in all events. */
static void NAME(count_alone)(const pca_counting *c, int64_t p, pca_counted *out)
{
    int32_t k[PCA_COUNT_FRAMES];
    const int64_t spoilt = c->spoilt ? c->spoilt[p] : INT64_MAX, color = c->color[p];
    for (int64_t f = 0; f < c->events; f++) {
        k[f] = c->number[f] < spoilt ? NAME(photons_of)(((const REAL *)c->row[f])[p], c) : -1;
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

/* The colours of a strip: those of its elements that count in all events. */
TARGET static inline int NAME(groups_in)(const pca_counting *c, int64_t p0, int width, const uint8_t *over,
                                         group_of *group)
{
    int groups = 0;
    for (int e = 0; e < width; e++) {
        const int32_t color = c->color[p0 + e];
        int g = 0;
        if (color < 0 || over[e])
            continue;
        while (g < groups && group[g].color != color)
            g++;
        if (g == groups) {
            group[groups++] = (group_of){.color = color};
        }
        ((uint8_t *)group[g].mask)[e] = 255;
        group[g].elements++;
    }
    return groups;
}

TARGET static void NAME(count)(const pca_counting *c, int64_t p0, int64_t p1, pca_counted *out)
{
    static _Thread_local strip_of strip;
    static _Thread_local group_of group[STRIP];
    strip_of *const s = &strip;
    REAL threshold = (REAL)c->threshold;
    if ((double)threshold < c->threshold) /* the smallest value that is not below it */
        threshold = sizeof(REAL) == 4 ? (REAL)__builtin_nextafterf((float)threshold, __builtin_inff()) : threshold;
    for (; p0 < p1; p0 += STRIP) {
        const int width = p1 - p0 < STRIP ? (int)(p1 - p0) : STRIP;
        bytes any[VECTORS] = {{0}};
        memset(s->over, 0, sizeof s->over);
        for (int64_t f = 0; f < c->events; f++) {
            const REAL *x = (const REAL *)c->row[f] + p0;
            REAL padded[STRIP] = {0};
            if (p1 - p0 >= 2 * STRIP)
                for (size_t line = 0; line < STRIP * sizeof(REAL); line += 64)
                    __builtin_prefetch((const char *)(x + STRIP) + line);
            if (width < STRIP)
                x = memcpy(padded, x, (size_t)width * sizeof(REAL));
            NAME(round_strip)(x, c, threshold, (uint8_t *)s->k[f], (uint8_t *)s->over);
        }
        if (c->spoilt)
            for (int e = 0; e < width; e++)
                if (c->spoilt[p0 + e] != INT64_MAX)
                    ((uint8_t *)s->over)[e] = 255;
        join_halves(c, s, p0, width);
        const int groups = NAME(groups_in)(c, p0, width, (const uint8_t *)s->over, group);
        for (int e = 0; e < width; e++)
            if (((const uint8_t *)s->over)[e])
                NAME(count_alone)(c, p0 + e, out);
        for (int g = 0; g < groups; g++) {
            for (int j = 0; j < VECTORS; j++)
                any[j] |= group[g].mask[j];
            out->whole[group[g].color] += group[g].elements;
            for (int64_t f = 0; f < c->events; f++)
                out->sums[f * c->colors + group[g].color] += sum_masked(s->k[f], group[g].mask);
        }
        if (groups)
            for (int64_t level = 0; level < c->levels; level++)
                add_level(c, s, level, group, groups, any, out);
        for (int64_t level = 0; level < c->levels - 1; level++)
            if (c->last[level] >= 0)
                for (int e = 0; e < width; e++)
                    if (!((const uint8_t *)s->over)[e])
                        c->pending[level * c->elements + p0 + e] = ((const uint8_t *)s->k[c->last[level]])[e];
        for (int64_t i = 0; i < c->n_kept; i++)
            for (int e = 0; e < width; e++)
                if (!((const uint8_t *)s->over)[e])
                    c->kept[i].to[p0 + e] = ((const uint8_t *)s->k[c->kept[i].frame])[e];
    }
}
