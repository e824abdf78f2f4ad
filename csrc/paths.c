#include "paths.h"

#include <string.h>

static const char *const names[PCA_PATHS] = {
#if defined(__x86_64__)
    [PCA_V4] = "x86-64-v4",
    [PCA_V3] = "x86-64-v3",
    [PCA_V2] = "x86-64-v2",
#endif
    [PCA_GENERIC] = "generic",
};

static int chosen = -1;

/* Everything that the TARGET of a path's files lets the compiler use, and that the system keeps those registers. */
static int runs_here(int path)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    switch (path) {
    case PCA_V4:
        return runs_here(PCA_V3) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    case PCA_V3:
        return runs_here(PCA_V2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("bmi2");
    case PCA_V2:
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    default:
        break;
    }
#endif
    return path == PCA_GENERIC;
}

const char *pca_path_name(int n)
{
    for (int path = 0; path < PCA_PATHS; path++)
        if (runs_here(path) && n-- == 0)
            return names[path];
    return NULL;
}

pca_status pca_choose_path(const char *name)
{
    for (int path = 0; path < PCA_PATHS; path++)
        if (runs_here(path) && (name == NULL || strcmp(name, names[path]) == 0)) {
            chosen = path;
            return PCA_OK;
        }
    return PCA_BAD_VALUE;
}

int pca_chosen(void)
{
    if (chosen < 0)
        pca_choose_path(NULL);
    return chosen;
}

const char *pca_chosen_path(void)
{
    return names[pca_chosen()];
}
