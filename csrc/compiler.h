/* Which compilers will do, and what the older ones of them lack. */
#ifndef PARCORANA_COMPILER_H
#define PARCORANA_COMPILER_H

/* setup.py reads this file first, so that the sentence is not lost among what follows from it. */
#if defined(__clang__) ? __clang_major__ < 13 : !defined(__GNUC__) || __GNUC__ < 10
#error "parcorana needs GCC 10 or newer, or clang 13 or newer: name one, as CC=gcc-12"
#endif

#include <stdint.h>

/* Four values out of the eight of the vectors a and b, by constant numbers. */
#if defined(__clang__) || __GNUC__ >= 12
#define PCA_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t pca_four_of_32 __attribute__((vector_size(16)));
typedef int64_t pca_four_of_64 __attribute__((vector_size(32)));
#define PCA_SHUFFLE(a, b, i, j, k, l)                                                         \
    __builtin_shuffle(a, b, __builtin_choose_expr(sizeof(a) == 16, ((pca_four_of_32){i, j, k, l}), \
                                                  ((pca_four_of_64){i, j, k, l})))
#endif

#endif
