/* Reads {"instances": [row, …]} where every row is what it seems: all members known, plain numbers, known texts, nulls.
 * Loaded with ctypes by shared/kernel/library.py, and asked by services/gateway/instances.py.
 *
 * It takes a whole body or none of it: Python reads the others, and explains. So nothing here may accept what Python
 * would refuse, or read in another way.
 */
#include "plain.h"

struct member {
    bool nullable;
    bool unknown_allowed;
    const struct texts *categories; /* NULL: it is a number */
};

struct instances {
    int64_t features; /* numbers of a row */
    const struct member *members;
    const struct texts *names; /* their codes are the places in the row */
    int64_t required;          /* members that may not be null */
    double unknown;
    double most; /* magnitude of a number */
    const uint64_t *powers;
};

struct text {
    const char *start;
    int64_t length;
};

/* Each of the following returns where what it read ends, or NULL if that is not plainly what it should be; and takes
 * NULL for `p`, so that only the last one needs a look. */

static inline const char *skip_space(const char *p, const char *end)
{
    while (p && p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static inline const char *read_char(const char *p, const char *end, char c)
{
    p = skip_space(p, end);
    return p && p < end && *p == c ? p + 1 : NULL;
}

/* What a text holds is not looked at, but that nothing in it means something else. */
static inline const char *read_text(const char *p, const char *end, struct text *found)
{
    p = read_char(p, end, '"');
    if (!p)
        return NULL;
    found->start = p;
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= ' ')
        p++;
    found->length = p - found->start;
    return p < end && *p == '"' ? p + 1 : NULL;
}

static inline const char *read_number(const struct instances *batch, const char *p, const char *end, double *found)
{
    const bool negative = p < end && *p == '-';
    p += negative;
    uint64_t w = 0;
    int64_t power = 0;
    const char *const whole = p;
    p = read_digits(p, end, &w);
    const int64_t whole_digits = p - whole;
    if (whole_digits == 0 || (whole_digits > 1 && *whole == '0'))
        return NULL;
    bool integer = true;
    if (p < end && *p == '.') {
        const char *const fraction = ++p;
        p = read_digits(p, end, &w);
        if (p == fraction)
            return NULL;
        power = fraction - p;
        integer = false;
    }
    if (too_many_digits(whole_digits - power, whole, p))
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = read_exponent(p + 1, end, &power);
        if (!p)
            return NULL;
        integer = false;
    }
    if (w == 0 && negative && integer) /* an integer has no sign when it is zero */
        return NULL;
    double value;
    if (!to_double(w, power, batch->powers, &value) || !(value <= batch->most))
        return NULL;
    *found = negative ? -value : value;
    return p;
}

static inline bool is_null(const char *p, const char *end)
{
    return end - p >= 4 && memcmp(p, "null", 4) == 0;
}

/* Reads a member's value. What is null leaves `found` as it is, which is NaN. */
static inline const char *read_value(const struct instances *batch, const struct member *member, const char *p,
                                     const char *end, double *found)
{
    p = skip_space(p, end);
    if (is_null(p, end))
        return member->nullable ? p + 4 : NULL;
    if (!member->categories)
        return read_number(batch, p, end, found);
    struct text text;
    p = read_text(p, end, &text);
    if (!p)
        return NULL;
    const int64_t known = find_text(member->categories, text.start, text.length);
    if (known < 0 && !(member->unknown_allowed && is_ascii(text.start, text.length)))
        return NULL;
    *found = known < 0 ? batch->unknown : member->categories->codes[known];
    return p;
}

/* Reads which of these a text is, most likely the one that `found` says. */
static inline const char *read_name(const struct texts *names, const char *p, const char *end, int64_t *found)
{
    p = read_char(p, end, '"');
    if (!p)
        return NULL;
    const char *const likely = names->bytes + names->starts[*found];
    const int64_t length = names->starts[*found + 1] - names->starts[*found];
    if (length < end - p && p[length] == '"') {
        int64_t same = 0;
        while (same < length && p[same] == likely[same])
            same++;
        if (same == length)
            return p + length + 1;
    }
    struct text name;
    p = read_text(p - 1, end, &name);
    *found = p ? find_text(names, name.start, name.length) : -1;
    return *found < 0 ? NULL : p;
}

/* Reads a row, whose numbers are NaN so far. `seen` holds for each place the last row that had it, and `order` which
 * name the last row had where: rows mostly name the same members in the same order. */
static const char *read_row(const struct instances *batch, const char *p, const char *end, double *row,
                            int64_t number, int64_t *seen, int64_t *order)
{
    p = read_char(p, end, '{');
    const char *const empty = read_char(p, end, '}');
    if (empty)
        return batch->required ? NULL : empty;
    int64_t required = 0;
    for (int64_t i = 0; p; i++) {
        if (i == batch->features)
            return NULL;
        p = read_char(read_name(batch->names, p, end, order + i), end, ':');
        if (!p)
            return NULL;
        const int64_t place = (int64_t)batch->names->codes[order[i]];
        if (seen[place] == number) /* of two equal names, the last one counts */
            return NULL;
        seen[place] = number;
        required += !batch->members[place].nullable;
        p = skip_space(read_value(batch, batch->members + place, p, end, row + place), end);
        if (!p || p == end)
            return NULL;
        if (*p == '}')
            return required == batch->required ? p + 1 : NULL;
        p = *p == ',' ? p + 1 : NULL;
    }
    return NULL;
}

/* Reads a body into `out`, and returns how many rows it has; -1 if it is not plain, or has none, or more than
 * `most_rows`. `notes` has room for two numbers per feature. */
int64_t read_instances(const struct instances *batch, const char *body, int64_t size, double *out, int64_t most_rows,
                       int64_t *notes)
{
    static const char MEMBER[] = "instances";
    const char *p = body, *const end = body + size;
    int64_t *const seen = notes, *const order = notes + batch->features;
    for (int64_t i = 0; i < batch->features; i++)
        seen[i] = -1, order[i] = 0;
    struct text name;
    p = read_text(read_char(p, end, '{'), end, &name);
    if (!p || name.length != sizeof MEMBER - 1 || memcmp(name.start, MEMBER, sizeof MEMBER - 1) != 0)
        return -1;
    p = read_char(read_char(p, end, ':'), end, '[');
    for (int64_t rows = 0; p && rows < most_rows; rows++) {
        double *const row = out + rows * batch->features;
        for (int64_t i = 0; i < batch->features; i++)
            row[i] = NAN;
        p = skip_space(read_row(batch, p, end, row, rows, seen, order), end);
        if (!p || p == end)
            return -1;
        if (*p == ']')
            return skip_space(read_char(p + 1, end, '}'), end) == end ? rows + 1 : -1;
        p = *p == ',' ? p + 1 : NULL;
    }
    return -1;
}
