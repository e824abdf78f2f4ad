#include <math.h>
#include <string.h>

#include "gather.h"
#include "photons.h"

/* The elements of a segment that reach the threshold, in the order of their places. */
typedef struct {
    double *value;    /* charge; then what no photon was given for */
    double *charge;   /* of the droplet that begins with this element */
    int32_t *place;   /* in the segment */
    int32_t *droplet; /* the first element of its droplet, at last */
    int32_t *next;    /* element of its droplet, -1 after the last one */
    int32_t *last;    /* element of the droplet that begins with this one; then a heap */
    int32_t *count;   /* of photons */
} pca_bright;

enum { CHUNK = 512, AT_ONCE = 8, FEW = 8, MOST = UINT16_MAX };

int64_t pca_find_scratch(int64_t elements)
{
    return (elements + AT_ONCE) * (int64_t)(2 * sizeof(double) + 5 * sizeof(int32_t));
}

static pca_bright laid_out(void *scratch, int64_t elements)
{
    const int64_t n = elements + AT_ONCE;
    double *const reals = scratch;
    int32_t *const whole = (int32_t *)(reals + 2 * n);
    return (pca_bright){reals, reals + n, whole, whole + n, whole + 2 * n, whole + 3 * n, whole + 4 * n};
}

/* Most elements are dark. Those that are not are marked in vector code, and the marks of eight are looked at in one
 * step; among the eight all are written, and all but the bright ones are overwritten. */
#define FIND(name, TYPE, BITS, LIMIT, SEEN)                                                      \
    static int32_t name(const void *segment, int64_t n, double threshold, const pca_bright *bright) \
    {                                                                                            \
        uint8_t mark[CHUNK];                                                                     \
        int32_t count = 0;                                                                       \
        LIMIT;                                                                                   \
        for (int64_t first = 0; first < n; first += CHUNK) {                                     \
            const TYPE *restrict x = (const TYPE *)segment + first;                              \
            const BITS *restrict bits = (const BITS *)segment + first;                           \
            const int64_t size = n - first < CHUNK ? n - first : CHUNK;                          \
            int64_t k = 0;                                                                       \
            for (int64_t j = 0; j < size; j++)                                                   \
                mark[j] = SEEN(bits[j]);                                                         \
            for (; k + AT_ONCE <= size; k += AT_ONCE) {                                          \
                uint64_t any;                                                                    \
                memcpy(&any, mark + k, sizeof any);                                              \
                for (int64_t j = k; any && j < k + AT_ONCE; j++) {                               \
                    bright->place[count] = (int32_t)(first + j);                                 \
                    bright->value[count] = (double)x[j];                                         \
                    count += mark[j];                                                            \
                }                                                                                \
            }                                                                                    \
            for (; k < size; k++)                                                                \
                if (mark[k]) {                                                                   \
                    bright->place[count] = (int32_t)(first + k);                                 \
                    bright->value[count++] = (double)x[k];                                       \
                }                                                                                \
        }                                                                                        \
        return count;                                                                            \
    }

/* Whole numbers reach the threshold where they reach the whole number that does. 2^bits is exact in float64. */
#define WHOLE(TYPE, bits)                                                                        \
    const double least = ceil(threshold);                                                        \
    if (least >= ldexp(1, bits))                                                                 \
        return 0;                                                                                \
    const TYPE limit = (TYPE)least
#define REACHES(b) ((b) >= limit)
#define FIND_WHOLE(name, TYPE, bits) FIND(name, TYPE, TYPE, WHOLE(TYPE, bits), REACHES)
FIND_WHOLE(find_i8, int8_t, 7)
FIND_WHOLE(find_u8, uint8_t, 8)
FIND_WHOLE(find_i16, int16_t, 15)
FIND_WHOLE(find_u16, uint16_t, 16)
FIND_WHOLE(find_i32, int32_t, 31)
FIND_WHOLE(find_u32, uint32_t, 32)
FIND_WHOLE(find_i64, int64_t, 63)
FIND_WHOLE(find_u64, uint64_t, 64)

/* Floats above 0 are in the order of their bits, with infinity and not-a-number above all; the same with the sign bit
 * set come last of the negative numbers. They are marked, too, and told apart later. */
#define LIMIT_OF(TYPE, WORD, NEXT)                                                               \
    TYPE lowest = (TYPE)threshold;                                                               \
    WORD limit;                                                                                  \
    if ((double)lowest < threshold)                                                              \
        lowest = NEXT(lowest, (TYPE)INFINITY);                                                   \
    memcpy(&limit, &lowest, sizeof limit)
#define MARKS_F32(b) (((b) >= limit) | (((b) < 0) & ((b) >= -0x00800000)))
#define MARKS_F64(b) (((b) >= limit) | (((b) < 0) & ((b) >= -0x0010000000000000)))
typedef int32_t __attribute__((may_alias)) pca_word;
typedef int64_t __attribute__((may_alias)) pca_long;
FIND(find_f32, float, pca_word, LIMIT_OF(float, int32_t, nextafterf), MARKS_F32)
FIND(find_f64, double, pca_long, LIMIT_OF(double, int64_t, nextafter), MARKS_F64)

static const struct {
    int size, real;
    int32_t (*find)(const void *, int64_t, double, const pca_bright *);
} TYPE[PCA_TYPES] = {{1, 0, find_i8},  {1, 0, find_u8},  {2, 0, find_i16}, {2, 0, find_u16}, {2, 1, 0},
                     {4, 0, find_i32}, {4, 0, find_u32}, {4, 1, find_f32}, {8, 0, find_i64}, {8, 0, find_u64},
                     {8, 1, find_f64}};

int32_t pca_can_find(int type)
{
    return TYPE[type].find != 0;
}

/* Leave out the elements that are not finite; -1 if one of them is included, and must be. */
static int32_t without_broken(const pca_bright *bright, int32_t count, const uint8_t *mask, int check)
{
    int32_t good = 0;
    for (int32_t k = 0; k < count; k++) {
        const double value = bright->value[k];
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (!BROKEN_F64(bits)) {
            bright->place[good] = bright->place[k];
            bright->value[good++] = value;
        } else if (check && mask[bright->place[k]]) {
            return -1;
        }
    }
    return good;
}

static int32_t first_of(int32_t *droplet, int32_t k)
{
    while (droplet[k] != k)
        k = droplet[k] = droplet[droplet[k]];
    return k;
}

/* Join neighbours: the droplet of each element is the first element of those that are known to be with it. */
static void join(const pca_bright *bright, int32_t count, int32_t columns)
{
    const int32_t *const place = bright->place;
    int32_t *const droplet = bright->droplet, above = 0;
    for (int32_t k = 0; k < count; k++) {
        int32_t own = droplet[k] = k;
        if (k && place[k - 1] == place[k] - 1 && place[k] % columns)
            own = droplet[k] = first_of(droplet, k - 1);
        while (place[above] < place[k] - columns)
            above++;
        if (place[above] == place[k] - columns) {
            const int32_t other = first_of(droplet, above);
            if (other < own)
                droplet[own] = droplet[k] = other;
            else
                droplet[other] = own;
        }
    }
}

/* Make of the droplets lists of their elements, and add up their charge in the order of these. */
static void collect(const pca_bright *bright, int32_t count)
{
    int32_t *const droplet = bright->droplet;
    for (int32_t k = 0; k < count; k++) {
        const int32_t own = droplet[k] = droplet[droplet[k]];
        bright->charge[k] = 0;
        bright->last[k] = k;
        bright->charge[own] += bright->value[k];
        bright->next[bright->last[own]] = k; /* of the first element for a moment itself */
        bright->next[k] = -1;
        bright->last[own] = k;
    }
}

/* The element with the most charge left comes first; of equals the first. */
static int is_before(const pca_bright *bright, int32_t a, int32_t b)
{
    return bright->value[a] > bright->value[b] || (bright->value[a] == bright->value[b] && a < b);
}

static int32_t brightest(const pca_bright *bright, int32_t first)
{
    int32_t best = first;
    for (int32_t k = bright->next[first]; k >= 0; k = bright->next[k])
        best = bright->value[k] > bright->value[best] ? k : best;
    return best;
}

static void sift(const pca_bright *bright, int32_t *heap, int32_t size, int32_t at)
{
    const int32_t element = heap[at];
    for (int32_t below; (below = 2 * at + 1) < size; at = below) {
        below += below + 1 < size && is_before(bright, heap[below + 1], heap[below]);
        if (!is_before(bright, heap[below], element))
            break;
        heap[at] = heap[below];
    }
    heap[at] = element;
}

/* Give a droplet's photons to its elements: one by one to that with the most charge left, of equals the first, each
 * takes `photon` of it. Returns 0 if an element has too many.
 *
 * As long as an element has more than two photons left it is sure to get the next one: all that are given so have
 * one each to spare, so no more than there are. The order among them does not matter. */
static int give(const pca_bright *bright, int32_t first, int64_t photons, double photon)
{
    int32_t *const heap = bright->last, size = 0;
    for (int32_t k = first; k >= 0; k = bright->next[k]) {
        int32_t count = 0;
        double left = bright->value[k];
        for (; left > 2 * photon && count <= MOST; count++)
            left -= photon;
        if (count > MOST)
            return 0;
        bright->value[k] = left;
        bright->count[k] = count;
        photons -= count;
        heap[size++] = k;
    }
    const int sorted = photons > FEW;
    for (int32_t at = sorted ? size / 2 - 1 : -1; at >= 0; at--)
        sift(bright, heap, size, at);
    for (; photons > 0; photons--) {
        const int32_t best = sorted ? heap[0] : brightest(bright, first);
        bright->value[best] -= photon;
        if (++bright->count[best] > MOST)
            return 0;
        if (sorted)
            sift(bright, heap, size, 0);
    }
    return 1;
}

/* Whole numbers of photons, halves up; no more than any sum has room for. */
static int64_t photons_of(double charge, double photon)
{
    const double photons = floor(charge / photon + 0.5);
    return photons < 0x1p40 ? (int64_t)photons : (int64_t)1 << 40;
}

/* A frame whose photons are being found. */
typedef struct {
    const pca_finder *finder;
    char *counts;
    int wide;
    int64_t *found;
} pca_frame;

/* Note the photons of an element; return 0 if it has too many. */
static int note(const pca_frame *frame, int64_t place, int64_t photons)
{
    int64_t *const found = frame->found;
    if (photons > (frame->wide ? UINT16_MAX : UINT8_MAX))
        return 0;
    if (frame->wide)
        ((uint16_t *)frame->counts)[place] = (uint16_t)photons;
    else
        ((uint8_t *)frame->counts)[place] = (uint8_t)photons;
    if (frame->finder->mask[place]) {
        found[PCA_PHOTONS] += photons;
        if (photons > found[PCA_LARGEST] || (photons == found[PCA_LARGEST] && place < found[PCA_PLACE])) {
            found[PCA_LARGEST] = photons;
            found[PCA_PLACE] = place;
        }
    }
    return 1;
}

/* The photons of the segment whose first element is `first` of the frame. */
static int find_segment(const pca_frame *frame, const pca_bright *bright, const char *segment, int type,
                        int64_t first)
{
    const pca_finder *const finder = frame->finder;
    int32_t count = TYPE[type].find(segment, finder->rows * finder->columns, finder->threshold, bright);
    if (TYPE[type].real &&
        (count = without_broken(bright, count, finder->mask + first, finder->check)) < 0)
        return PCA_BROKEN;
    if (finder->apart)
        for (int32_t k = 0; k < count; k++)
            bright->droplet[k] = k;
    else
        join(bright, count, (int32_t)finder->columns);
    collect(bright, count);
    for (int32_t k = 0; k < count; k++) {
        if (bright->droplet[k] != k)
            continue;
        const int64_t photons = photons_of(bright->charge[k], finder->photon);
        if (photons == 0)
            continue;
        if (photons > finder->most) {
            frame->found[PCA_LEFT]++;
            frame->found[PCA_LEFT_PHOTONS] += photons;
            continue;
        }
        frame->found[PCA_DROPLETS]++;
        int fits = 1;
        if (photons == 1 || bright->next[k] < 0)
            fits = note(frame, first + bright->place[brightest(bright, k)], photons);
        else if ((fits = give(bright, k, photons, finder->photon)))
            for (int32_t e = k; e >= 0 && fits; e = bright->next[e])
                fits = !bright->count[e] || note(frame, first + bright->place[e], bright->count[e]);
        if (!fits)
            return PCA_WIDE;
    }
    return PCA_COUNTED;
}

/* Find the photons of `events` frames, `stride` bytes apart: counts are theirs, side by side, uint16 if `wide`, else
 * uint8; found[k] are PCA_FOUND numbers, fate[k] is what becomes of frame k. Counts of a frame of another fate than
 * PCA_COUNTED mean nothing. */
void pca_find(const pca_finder *finder, const char *frames, int64_t stride, int64_t events, int type,
              char *counts, int wide, int64_t *found, uint8_t *fate, void *scratch)
{
    const int64_t segment = finder->rows * finder->columns, elements = segment * finder->segments;
    const pca_bright bright = laid_out(scratch, segment);
    const size_t bytes = (size_t)elements << wide;
    memset(counts, 0, bytes * (size_t)events);
    memset(found, 0, (size_t)events * PCA_FOUND * sizeof *found);
    for (int64_t k = 0; k < events; k++) {
        const pca_frame frame = {finder, counts + (size_t)k * bytes, wide, found + k * PCA_FOUND};
        fate[k] = PCA_COUNTED;
        frame.found[PCA_FRAMES] = 1;
        for (int64_t s = 0; s < finder->segments && fate[k] != PCA_BROKEN; s++) {
            const char *const at = frames + k * stride + s * segment * TYPE[type].size;
            const int one = find_segment(&frame, &bright, at, type, s * segment);
            fate[k] = (uint8_t)(one == PCA_COUNTED ? fate[k] : one);
        }
    }
}
