/* Reads records of a CSV file whose cells are what they seem: plain numbers, known texts, nulls. Loaded with ctypes by
 * shared/kernel/library.py, and asked by services/gateway/tables/plain.py.
 *
 * Whatever else a record holds makes it odd: its place is told, and Python decides. So nothing here explains anything,
 * and nothing here may accept what Python would read in another way.
 */
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

struct cell {
    int64_t target; /* which number of the row it becomes; -1: it is passed over */
    bool nullable;
    bool unknown_allowed;
    const struct texts *categories; /* NULL: it is a number */
};

struct records {
    int64_t width; /* cells of a record */
    const struct cell *cells;
    int64_t features; /* numbers of a row */
    const struct texts *nulls;
    double unknown;
    double most; /* magnitude of a number */
    const uint64_t *powers; /* of five, from LEAST_POWER on: 128 bits each, the higher half first */
};

static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static inline bool ends_cell(char c)
{
    return c == ',' || c == '\n' || c == '\r';
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* The double nearest to w * 10^q, for w > 0: Lemire, "Number parsing at a gigabyte per second", 2021, and Mushtak and
 * Lemire, "Fast number parsing without fallback", 2023. */
static double nearest(uint64_t w, int64_t q, const uint64_t *powers)
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

/* Reads a number that takes the whole cell at `p`. Returns where the cell ends, or NULL if this is not plainly one. */
static inline const char *read_number(const struct records *records, const char *p, const char *end, double *found)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    const bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    uint64_t w = 0;
    int64_t power = 0;
    const char *const first_digit = p, *first = p;
    p = read_digits(p, end, &w);
    int64_t digits = p - first;
    if (p < end && *p == '.') {
        first = ++p;
        p = read_digits(p, end, &w);
        power = first - p;
        digits -= power;
    }
    if (digits == 0)
        return NULL;
    if (digits > MOST_DIGITS) { /* unless they begin with zeros */
        for (const char *zero = first_digit; zero < p && (*zero == '0' || *zero == '.'); zero++)
            digits -= *zero == '0';
        if (digits > MOST_DIGITS)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        const bool down = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        first = p;
        int64_t exponent = 0;
        while (p < end && is_digit(*p) && exponent < 10000)
            exponent = 10 * exponent + (*p++ - '0');
        if (p == first)
            return NULL;
        power += down ? -exponent : exponent;
    }
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p < end && !ends_cell(*p))
        return NULL;
    double value;
    if (w == 0)
        value = 0;
    else if (w >> (MANTISSA_BITS + 1) == 0 && power >= -EXACT_POWER && power <= EXACT_POWER)
        value = power < 0 ? (double)w / TENS[-power] : (double)w * TENS[power];
    else if (power >= LEAST_POWER && power <= MOST_POWER)
        value = nearest(w, power, records->powers);
    else
        return NULL;
    if (!(value <= records->most))
        return NULL;
    *found = negative ? -value : value;
    return p;
}

/* Returns the code of a text; NaN if it is none of these. */
static double code_of(const struct texts *texts, const char *text, int64_t length)
{
    int64_t low = 0, high = texts->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2, start = texts->starts[middle];
        const int64_t other = texts->starts[middle + 1] - start;
        int order = (other > length) - (other < length);
        if (order == 0)
            order = length ? memcmp(texts->bytes + start, text, (size_t)length) : 0;
        if (order == 0)
            return texts->codes[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NAN;
}

/* Whether a text stays what it is when white space around it is taken away, and is UTF-8. */
static bool is_bare(const char *text, int64_t length)
{
    if (length && ((unsigned char)text[0] <= ' ' || (unsigned char)text[length - 1] <= ' '))
        return false;
    for (int64_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

/* Reads the cell at `p`. Returns where it ends, or NULL if it is odd. */
static inline const char *read_cell(const struct records *records, const struct cell *cell, const char *p,
                                    const char *end, double *found)
{
    if (!cell->categories) {
        const char *after = read_number(records, p, end, found);
        if (after)
            return after;
    }
    const char *start = p;
    while (p < end && !ends_cell(*p))
        p++;
    const int64_t length = p - start;
    if (!isnan(code_of(records->nulls, start, length)))
        return cell->nullable ? p : NULL; /* the row holds NaN already */
    if (!cell->categories)
        return NULL;
    const double code = code_of(cell->categories, start, length);
    if (isnan(code) && !(cell->unknown_allowed && is_bare(start, length)))
        return NULL;
    *found = isnan(code) ? records->unknown : code;
    return p;
}

/* Reads whole records, in which no cell is quoted; blank lines are none. A row in `out` for each, an odd one's all NaN.
 * Returns how many there are, or -1 if they are more than `most_rows` or those that are odd more than `most_odd`.
 * `odd` gets row, start and end of each that is; and `odd_count` how many these are. */
int64_t read_records(const struct records *records, const char *data, int64_t size, double *out, int64_t most_rows,
                     int64_t *odd, int64_t most_odd, int64_t *odd_count)
{
    const char *p = data, *const end = data + size;
    const int64_t features = records->features;
    int64_t rows = 0;
    *odd_count = 0;
    for (;;) {
        while (p < end && (*p == '\n' || *p == '\r'))
            p++;
        if (p == end)
            return rows;
        if (rows == most_rows)
            return -1;
        double *row = out + rows * features;
        for (int64_t i = 0; i < features; i++)
            row[i] = NAN;
        const char *const start = p;
        bool plain = true;
        int64_t cells = 0;
        for (;; p++) { /* over the comma */
            const struct cell *cell = cells < records->width ? records->cells + cells : NULL;
            const char *after = NULL;
            if (plain && cell && cell->target >= 0) {
                after = read_cell(records, cell, p, end, row + cell->target);
                plain = after != NULL;
            }
            if (after)
                p = after;
            else
                while (p < end && !ends_cell(*p))
                    p++;
            cells++;
            if (p == end || *p != ',')
                break;
        }
        if (!plain || cells != records->width) {
            if (*odd_count == most_odd)
                return -1;
            int64_t *place = odd + 3 * (*odd_count)++;
            place[0] = rows, place[1] = start - data, place[2] = p - data;
            for (int64_t i = 0; i < features; i++)
                row[i] = NAN;
        }
        rows++;
    }
}
