/* The rolling buffer's book-keeping: who enters, who leaves, which pairs there are. */
#include <string.h>

#include "parcorana.h"

/* floor(a / b) for b > 0 */
static __int128 floor_div(__int128 a, __int128 b)
{
    __int128 q = a / b;
    return (a % b < 0) ? q - 1 : q;
}

/* counter = round((stamp - first) * rate / 1e9), halves up, exactly: rate is the
 * fraction rate_num / rate_den [Hz], stamps are in nanoseconds. */
pca_status pca_counters(const int64_t *stamp, int64_t n, int64_t first, int64_t rate_num,
                        int64_t rate_den, int64_t *counter)
{
    const __int128 den = (__int128)rate_den * 1000000000;
    if (rate_num <= 0 || rate_den <= 0)
        return PCA_BAD_VALUE;
    for (int64_t k = 0; k < n; k++) {
        int64_t dt;
        __int128 twice;
        if (__builtin_sub_overflow(stamp[k], first, &dt))
            return PCA_BAD_VALUE;
        /* |dt| < 2^63 and rate_num < 2^32 (checked by the caller): no overflow */
        twice = (__int128)dt * rate_num * 2 + den;
        twice = floor_div(twice, den * 2);
        if (twice > INT64_MAX || twice <= INT64_MIN)
            return PCA_BAD_VALUE;
        counter[k] = (int64_t)twice;
    }
    return PCA_OK;
}

/* first position in [lo, hi) whose counter is >= value */
static int64_t lower_bound(const int64_t *counter, int64_t lo, int64_t hi, int64_t value)
{
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (counter[mid] < value)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void insert(pca_events *ev, int64_t at, int64_t counter, int32_t seq)
{
    const size_t behind = (size_t)(ev->tail - at);
    memmove(ev->counter + at + 1, ev->counter + at, behind * sizeof *ev->counter);
    memmove(ev->row + at + 1, ev->row + at, behind * sizeof *ev->row);
    memmove(ev->seq + at + 1, ev->seq + at, behind * sizeof *ev->seq);
    memmove(ev->leave + at + 1, ev->leave + at, behind * sizeof *ev->leave);
    ev->counter[at] = counter;
    ev->row[at] = -1;
    ev->seq[at] = seq;
    ev->leave[at] = PCA_STAYS;
    ev->tail++;
}

/* Let events enter one at a time, in the order given, until `limit` of them have.
 *
 * Those that leave stay in `ev` before `head`, so that the pairs they had with
 * events that entered before they left can still be found. That `ev` stays sorted
 * is no accident: what leaves is the smallest, and what is smaller still is late.
 */
pca_status pca_admit(pca_events *ev, int64_t times, const int64_t *counter, int64_t n,
                     int64_t limit, int8_t *fate, int64_t *entered, int64_t *consumed)
{
    int64_t k;
    int32_t seq = 0;
    for (k = 0; k < n && seq < limit; k++) {
        const int64_t c = counter[k];
        int64_t at = ev->tail;
        if (ev->tail > ev->head && c <= ev->counter[ev->tail - 1])
            at = lower_bound(ev->counter, ev->head, ev->tail, c);
        if (at < ev->tail && ev->counter[at] == c) {
            fate[k] = PCA_DUPLICATE;
            continue;
        }
        if (ev->tail - ev->head == times) {
            if (at == ev->head) {
                fate[k] = PCA_LATE;
                continue;
            }
            ev->leave[ev->head++] = seq;
        }
        if (ev->tail == ev->capacity || seq == PCA_STAYS - 1)
            return PCA_BAD_LENGTH;
        insert(ev, at, c, seq);
        fate[k] = PCA_PROCESSED;
        entered[seq++] = k;
    }
    *consumed = k;
    return PCA_OK;
}

typedef struct {
    pca_run *run;
    int64_t capacity;
    int64_t n;
    int64_t from; /* runs of this delay begin here */
} run_list;

static pca_status add_pair(run_list *list, int32_t i, int32_t j)
{
    if (list->n > list->from) {
        pca_run *last = &list->run[list->n - 1];
        if (last->i + last->length == i && last->j + last->length == j) {
            last->length++;
            return PCA_OK;
        }
    }
    if (list->n == list->capacity)
        return PCA_MORE;
    list->run[list->n].i = i;
    list->run[list->n].j = j;
    list->run[list->n].length = 1;
    list->n++;
    return PCA_OK;
}

/* Were a and b ever stored together, and did that begin in this block? */
static int together(const pca_events *ev, int64_t a, int64_t b)
{
    if (ev->seq[a] < ev->seq[b])
        return ev->seq[b] < ev->leave[a];
    return ev->seq[a] >= 0 && ev->seq[a] < ev->leave[b];
}

/* The pairs of one delay whose later event is new (new_is_later), or whose
 * earlier event is new and whose later one is not. */
static pca_status pairs_of(const pca_events *ev, int64_t first, int64_t begin, int64_t end,
                           int64_t delay, int new_is_later, run_list *list)
{
    const int64_t step = new_is_later ? -delay : delay;
    int64_t other = -1;
    for (int64_t k = begin; k < end; k++) {
        int64_t want;
        if (ev->seq[k] < 0 || __builtin_add_overflow(ev->counter[k], step, &want))
            continue;
        if (other < 0)
            other = lower_bound(ev->counter, first, ev->tail, want);
        while (other < ev->tail && ev->counter[other] < want)
            other++;
        if (other == ev->tail)
            break;
        if (ev->counter[other] != want || !together(ev, k, other))
            continue;
        if (new_is_later) {
            if (add_pair(list, ev->row[other], ev->row[k]))
                return PCA_MORE;
        } else if (ev->seq[other] < 0) {
            if (add_pair(list, ev->row[k], ev->row[other]))
                return PCA_MORE;
        }
    }
    return PCA_OK;
}

/* Find, for each delay, the pairs (t, t + delay) of which at least one event is new
 * (seq >= 0), of the kinds that kinds[d] names, as runs of rows. Pairs in which an event
 * left before the other one entered do not count. Events from position `first` on are
 * looked at. */
pca_status pca_find_runs(const pca_events *ev, int64_t first, const uint8_t *kinds,
                         const int64_t *delay, int64_t delays, pca_run *run, int64_t capacity,
                         int64_t *start, int64_t *count)
{
    run_list list = {run, capacity, 0, 0};
    int64_t begin = first, end = ev->tail;
    while (begin < end && ev->seq[begin] < 0)
        begin++;
    while (end > begin && ev->seq[end - 1] < 0)
        end--;
    start[0] = 0;
    for (int64_t d = 0; d < delays; d++) {
        list.from = list.n;
        if ((kinds[d] & PCA_NEW_LATER) && pairs_of(ev, first, begin, end, delay[d], 1, &list))
            return PCA_MORE;
        if ((kinds[d] & PCA_OLD_LATER) && pairs_of(ev, first, begin, end, delay[d], 0, &list))
            return PCA_MORE;
        start[d + 1] = list.n;
        count[d] = 0;
        for (int64_t r = list.from; r < list.n; r++)
            count[d] += list.run[r].length;
    }
    return PCA_OK;
}
