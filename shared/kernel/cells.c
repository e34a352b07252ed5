/* Reads records of a CSV file whose cells are what they seem: plain numbers, known texts, nulls. Loaded with ctypes by
 * shared/kernel/library.py, and asked by services/gateway/tables/plain.py.
 *
 * Whatever else a record holds makes it odd: its place is told, and Python decides. So nothing here explains anything,
 * and nothing here may accept what Python would read in another way.
 */
#include "plain.h"

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

static inline bool ends_cell(char c)
{
    return c == ',' || c == '\n' || c == '\r';
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
    const char *const first_digit = p;
    p = read_digits(p, end, &w);
    int64_t digits = p - first_digit;
    if (p < end && *p == '.') {
        const char *const fraction = ++p;
        p = read_digits(p, end, &w);
        power = fraction - p;
        digits -= power;
    }
    if (digits == 0 || too_many_digits(digits, first_digit, p))
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = read_exponent(p + 1, end, &power);
        if (!p)
            return NULL;
    }
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p < end && !ends_cell(*p))
        return NULL;
    double value;
    if (!to_double(w, power, records->powers, &value) || !(value <= records->most))
        return NULL;
    *found = negative ? -value : value;
    return p;
}

/* Whether a text stays what it is when white space around it is taken away, and is UTF-8. */
static bool is_bare(const char *text, int64_t length)
{
    if (length && ((unsigned char)text[0] <= ' ' || (unsigned char)text[length - 1] <= ' '))
        return false;
    return is_ascii(text, length);
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
    if (find_text(records->nulls, start, length) >= 0)
        return cell->nullable ? p : NULL; /* the row holds NaN already */
    if (!cell->categories)
        return NULL;
    const int64_t known = find_text(cell->categories, start, length);
    if (known < 0 && !(cell->unknown_allowed && is_bare(start, length)))
        return NULL;
    *found = known < 0 ? records->unknown : cell->categories->codes[known];
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
