/* Do arrays share memory? To write to one is then to change the other. */
#include "views.h"

#include <stdlib.h> /* llabs */

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return llabs(a);
}

static int is_empty(const pca_view *view)
{
    return view->n[0] <= 0 || view->n[1] <= 0;
}

/* A step that is never taken may be anything. */
static int64_t step_of(const pca_view *view, int k)
{
    return view->n[k] > 1 ? view->step[k] : 0;
}

int pca_folds(const pca_view *view)
{
    const int64_t a = step_of(view, 0), b = step_of(view, 1), common = gcd(a, b);
    if (is_empty(view))
        return 0;
    if ((view->n[0] > 1 && a == 0) || (view->n[1] > 1 && b == 0))
        return 1;
    if (view->n[0] == 1 || view->n[1] == 1)
        return 0;
    return llabs(b) / common < view->n[0] && llabs(a) / common < view->n[1];
}

/* The bytes from *low on up to *high, seen from the first value. */
static void bounds(const pca_view *view, int64_t *low, int64_t *high)
{
    *low = 0;
    *high = view->size;
    for (int k = 0; k < 2; k++) {
        const int64_t last = step_of(view, k) * (view->n[k] - 1);
        *(last < 0 ? low : high) += last;
    }
}

/* Whether u * step[0] + v * step[1] is `apart`, for some u and v between the values of the two. */
static int meet(const pca_view *a, const pca_view *b, int64_t apart)
{
    const int few = a->n[0] + b->n[0] <= a->n[1] + b->n[1] ? 0 : 1, many = 1 - few;
    const int64_t step = step_of(a, few), other = step_of(a, many);
    for (int64_t u = 1 - b->n[few]; u < a->n[few]; u++) {
        const int64_t rest = apart - u * step;
        if (other == 0 ? rest == 0
                       : rest % other == 0 && rest / other > -b->n[many] && rest / other < a->n[many])
            return 1;
    }
    return 0;
}

int pca_share(const pca_view *a, const pca_view *b)
{
    const int64_t apart = (int64_t)((intptr_t)b->first - (intptr_t)a->first);
    const int64_t steps[2][2] = {{step_of(a, 0), step_of(a, 1)}, {step_of(b, 0), step_of(b, 1)}};
    int64_t low[2], high[2], common, place;
    if (is_empty(a) || is_empty(b))
        return 0;
    bounds(a, &low[0], &high[0]);
    bounds(b, &low[1], &high[1]);
    if (apart + low[1] >= high[0] || apart + high[1] <= low[0])
        return 0;
    if (a->size == b->size && apart % a->size == 0 && steps[0][0] == steps[1][0] && steps[0][1] == steps[1][1])
        return meet(a, b, apart);
    common = gcd(gcd(steps[0][0], steps[0][1]), gcd(steps[1][0], steps[1][1]));
    if (common == 0)
        return 1;
    place = (apart % common + common) % common;
    return place < a->size || common - place < b->size;
}

int pca_tangled(const pca_view *view, int written, int views, int *which)
{
    for (int a = 0; a < written; a++)
        for (int b = a; b < views; b++)
            if (a == b ? pca_folds(&view[a]) : pca_share(&view[a], &view[b])) {
                if (which) {
                    which[0] = a;
                    which[1] = b;
                }
                return 1;
            }
    return 0;
}
