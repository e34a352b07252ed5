/* Numbers and texts as files and bodies mostly hold them; included by cells.c and instances.c. */
#ifndef PLAIN_H
#define PLAIN_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MOST_DIGITS = 19 };    /* that a uint64 holds, whichever they are */
enum { LEAST_POWER = -300 };  /* of the table below; the result is never subnormal */
enum { MOST_POWER = 30 };
enum { EXACT_POWER = 22 };    /* powers of ten up to here are doubles */
enum { MANTISSA_BITS = 52 };

/* Texts one after the other, the shortest first, those of one length in the order of their bytes. */
struct texts {
    int64_t count;
    const char *bytes;
    const int64_t *starts; /* and the end */
    const double *codes;
};

static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* The double nearest to w * 10^q, for w > 0: Lemire, "Number parsing at a gigabyte per second", 2021, and Mushtak and
 * Lemire, "Fast number parsing without fallback", 2023. */
static inline double nearest(uint64_t w, int64_t q, const uint64_t *powers)
{
    const uint64_t *power = powers + 2 * (q - LEAST_POWER);
    const int zeros = __builtin_clzll(w);
    w <<= zeros;
    unsigned __int128 product = (unsigned __int128)w * power[0];
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    const int kept = MANTISSA_BITS + 3; /* with the leading one, a bit to round by, and one that the product may lack */
    if ((high & (UINT64_MAX >> kept)) == UINT64_MAX >> kept) {
        const uint64_t more = (uint64_t)(((unsigned __int128)w * power[1]) >> 64);
        low += more;
        high += low < more;
    }
    const int upper = (int)(high >> 63), shift = upper + 64 - kept;
    uint64_t mantissa = high >> shift;
    int64_t exponent = (((152170 + 65536) * q) >> 16) + 63 + upper - zeros + 1023;
    /* Exactly half way: to the even one. Only for such powers can it be. */
    if (low <= 1 && q >= -4 && q <= 23 && (mantissa & 3) == 1 && mantissa << shift == high)
        mantissa &= ~(uint64_t)1;
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >> (MANTISSA_BITS + 1)) {
        mantissa >>= 1;
        exponent++;
    }
    const uint64_t bits = (mantissa & ~((uint64_t)1 << MANTISSA_BITS)) | (uint64_t)exponent << MANTISSA_BITS;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Finds the double nearest to w * 10^power; false where that is not done here. */
static inline bool to_double(uint64_t w, int64_t power, const uint64_t *powers, double *found)
{
    if (w == 0)
        *found = 0;
    else if (w >> (MANTISSA_BITS + 1) == 0 && power >= -EXACT_POWER && power <= EXACT_POWER)
        *found = power < 0 ? (double)w / TENS[-power] : (double)w * TENS[power];
    else if (power >= LEAST_POWER && power <= MOST_POWER)
        *found = nearest(w, power, powers);
    else
        return false;
    return true;
}

/* Reads digits into `w`, which wraps where they are too many, and returns where they end. */
static inline const char *read_digits(const char *p, const char *end, uint64_t *w)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    /* Eight at a time, however many of them are digits: where a number ends cannot be guessed, and a loop would. */
    static const uint64_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    while (end - p >= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        v ^= 0x3030303030303030;
        const uint64_t others = ((v + 0x7676767676767676) | v) & 0x8080808080808080;
        const int count = others ? __builtin_ctzll(others) >> 3 : 8;
        if (count == 0)
            return p;
        v <<= 64 - 8 * count; /* the missing ones are leading zeros */
        v = v * 10 + (v >> 8);
        v = ((v & 0x000000ff000000ff) * 0x000f424000000064 + ((v >> 16) & 0x000000ff000000ff) * 0x0000271000000001) >> 32;
        *w = *w * tens[count] + (uint32_t)v;
        p += count;
        if (count < 8)
            return p;
    }
#endif
    while (p < end && is_digit(*p))
        *w = 10 * *w + (uint64_t)(*p++ - '0');
    return p;
}

/* Whether a number of so many digits, from `first` to `end`, does not fit; zeros that it begins with do not count. */
static inline bool too_many_digits(int64_t digits, const char *first, const char *end)
{
    if (digits > MOST_DIGITS)
        for (; first < end && (*first == '0' || *first == '.'); first++)
            digits -= *first == '0';
    return digits > MOST_DIGITS;
}

/* Reads what follows the e, and adds it to `power`. Returns where it ends, or NULL if that is no exponent. */
static inline const char *read_exponent(const char *p, const char *end, int64_t *power)
{
    const bool down = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    const char *const first = p;
    int64_t exponent = 0;
    while (p < end && is_digit(*p) && exponent < 10000)
        exponent = 10 * exponent + (*p++ - '0');
    *power += down ? -exponent : exponent;
    return p == first ? NULL : p;
}

/* Returns which of these a text is; -1 if it is none. */
static inline int64_t find_text(const struct texts *texts, const char *text, int64_t length)
{
    int64_t low = 0, high = texts->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2, start = texts->starts[middle];
        const int64_t other = texts->starts[middle + 1] - start;
        int order = (other > length) - (other < length);
        if (order == 0)
            order = length ? memcmp(texts->bytes + start, text, (size_t)length) : 0;
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static inline bool is_ascii(const char *text, int64_t length)
{
    for (int64_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

#endif
