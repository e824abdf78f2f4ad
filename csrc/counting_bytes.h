/* What vectors of bytes can do. Included with VBYTES and TARGET defined; PORTABLE: without instructions made for it. */
#ifndef PARCORANA_COUNTING_BYTES_H
#define PARCORANA_COUNTING_BYTES_H

#include <stdint.h>
#include <string.h>

enum { EACH = VBYTES / 8 };

typedef uint8_t bytes __attribute__((vector_size(VBYTES)));
typedef uint64_t eights __attribute__((vector_size(VBYTES)));

#ifdef PORTABLE

typedef uint16_t pairs_of __attribute__((vector_size(VBYTES)));

static inline bytes larger_of(bytes a, bytes b)
{
    const bytes more = (bytes)(a > b);
    return (a & more) | (b & ~more);
}

/* a + b, 255 at the most. */
static inline bytes add_bounded(bytes a, bytes b)
{
    const bytes sum = a + b;
    return sum | (bytes)(sum < a);
}

/* The sum of each eight bytes. */
static inline eights sum_eights(bytes a)
{
    const pairs_of two = ((pairs_of)a & 255) + ((pairs_of)a >> 8);
    const eights four = ((eights)two & 0x0000ffff0000ffffu) + (((eights)two >> 16) & 0x0000ffff0000ffffu);
    return (four & 0xffffffffu) + (four >> 32);
}

/* 1 << (k - b) where k is b ... b + 7, else 0. */
static inline bytes one_hot(bytes k, int b)
{
    bytes hot = {0};
    for (int i = 0; i < 8; i++)
        hot |= (bytes)(k == (uint8_t)(b + i)) & (uint8_t)(1 << i);
    return hot;
}

#else

#include <immintrin.h>

#if VBYTES == 64
#define V(name) _mm512_##name
typedef __m512i word;
#elif VBYTES == 32
#define V(name) _mm256_##name
typedef __m256i word;
#else
#define V(name) _mm_##name
typedef __m128i word;
#endif

TARGET static inline bytes larger_of(bytes a, bytes b)
{
    return (bytes)V(max_epu8)((word)a, (word)b);
}

TARGET static inline bytes add_bounded(bytes a, bytes b)
{
    return (bytes)V(adds_epu8)((word)a, (word)b);
}

TARGET static inline eights sum_eights(bytes a)
{
    return (eights)V(sad_epu8)((word)a, (word)(bytes){0});
}

#define HOT 0x8040201008040201u /* 1 << i in byte i */

/* By a table of 16 entries: what is no number of these becomes 128 or more, for which there is 0. */
TARGET static inline bytes one_hot(bytes k, int b)
{
    static const uint64_t tables[9] = {HOT, 0, HOT, 0, HOT, 0, HOT, 0, HOT};
    bytes table;
    memcpy(&table, tables + (b / 8 & 1), VBYTES);
    const bytes place = add_bounded(k - (uint8_t)(b & ~15), (bytes){0} + 0x70);
    return (bytes)V(shuffle_epi8)((word)table, (word)place);
}

#endif

/* Add three bits at each place: the sum replaces *a, the carry is returned. */
TARGET static inline bytes add_bits(bytes *a, bytes b, bytes c)
{
#if VBYTES == 64
    const word x = (word)*a, y = (word)b, z = (word)c;
    *a = (bytes)_mm512_ternarylogic_epi64(x, y, z, 0x96);
    return (bytes)_mm512_ternarylogic_epi64(x, y, z, 0xe8);
#else
    const bytes either = *a ^ b, carry = (*a & b) | (either & c);
    *a = either ^ c;
    return carry;
#endif
}

/* Add bits to numbers of which bit i of each is in digit[i], from digit `first` on. */
TARGET static inline void add_to_digits(bytes *digit, int first, bytes bits)
{
    for (int i = first; i < 8; i++) {
        const bytes carry = digit[i] & bits;
        digit[i] ^= bits;
        bits = carry;
    }
}

TARGET static inline void add_eight(bytes *digit, const bytes *bits)
{
    bytes two[4], four[2];
    for (int i = 0; i < 4; i++)
        two[i] = add_bits(&digit[0], bits[2 * i], bits[2 * i + 1]);
    for (int i = 0; i < 2; i++)
        four[i] = add_bits(&digit[1], two[2 * i], two[2 * i + 1]);
    add_to_digits(digit, 3, add_bits(&digit[2], four[0], four[1]));
}

/* Turn eight bytes of eight bits: bit i of x[j] becomes bit j of x[i]. */
TARGET static inline void turn_bits(bytes *x)
{
    static const uint8_t low[] = {0, 0x55, 0x33, 0, 0x0f};
    for (int s = 4; s; s /= 2)
        for (int i = 0; i < 8; i++)
            if (!(i & s)) {
                const bytes swap = ((bytes)((eights)x[i] >> s) ^ x[i + s]) & low[s];
                x[i + s] ^= swap;
                x[i] ^= (bytes)((eights)swap << s);
            }
}

#endif
