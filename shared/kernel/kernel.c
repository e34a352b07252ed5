/* Scores rows with trees and linear models. Plain C11, loaded with ctypes by shared/kernel/library.py.
 *
 * The caller has checked every index of a model (shared/kernel/trees.py, nodes.py): nothing here does so again.
 * Each row is computed by itself and in one order, so that its bits do not depend on which rows come along with it.
 */
#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if FLT_EVAL_METHOD != 0
#error "doubles must be rounded after every operation, as numpy and scikit-learn do"
#endif

enum { MAX_SLOTS = 4096 };   /* as in nodes.py */
enum { BLOCK_ROWS = 512 };   /* rows that are prepared together */
enum { BLOCK_BYTES = 65536 }; /* what they may take: they stay in the second level of cache */
enum { LANES = 16 };         /* walks in lock-step: as many loads are under way at once */
enum { LEVELS = 4 };         /* that a walk goes down before it asks whether all have arrived */

/* The numbers that columns.py gives them. */
enum operation { FILL, CODE, SUBTRACT, DIVIDE, EQUAL, IS_NULL, ROUND, NEGATE };

struct step {
    int64_t operation;
    double a, b;
};

/* A column that the estimator reads: one number of the row, after some steps. */
struct column {
    int64_t source;
    const struct step *steps;
    int64_t step_count;
};

/* A split goes to its first child if value <= threshold, else to the second, which lies behind the first; NaN goes to
 * the second. A leaf is its own first child and compares slot 0, which is 0, with +inf: a walk that has arrived stays. */
struct narrow_node {
    float threshold;
    uint32_t child_slot; /* child << 8 | slot */
};

struct wide_node {
    double threshold;
    uint32_t child, slot;
};

struct tree {
    uint32_t root;
    uint32_t depth;
};

struct forest {
    int64_t inputs; /* numbers in a row */
    int64_t targets;
    const struct column *columns; /* of slots 1, 2, …; slot 0 is the constant 0 */
    int64_t slots;
    bool narrow;
    const void *nodes;
    const double *leaves; /* by node */
    const struct tree *trees;
    const int64_t *first_tree; /* by target, and the end */
    double divisor;
};

struct linear {
    int64_t inputs;
    int64_t targets;
    const struct column *columns;
    int64_t column_count;
    const double *weights; /* by column, then by target */
    const double *intercept;
};

/* Computes a column of `rows` rows. */
static void prepare(const struct column *column, const double *x, int64_t inputs, int64_t rows, double *restrict z)
{
    for (int64_t i = 0; i < rows; i++)
        z[i] = x[i * inputs + column->source];
    for (int64_t s = 0; s < column->step_count; s++) {
        const double a = column->steps[s].a, b = column->steps[s].b;
        switch ((enum operation)column->steps[s].operation) {
        case FILL:
            for (int64_t i = 0; i < rows; i++)
                z[i] = z[i] != z[i] ? a : z[i];
            break;
        case CODE:
            for (int64_t i = 0; i < rows; i++)
                z[i] = z[i] != z[i] ? b : z[i] < 0 ? a : z[i];
            break;
        case SUBTRACT:
            for (int64_t i = 0; i < rows; i++)
                z[i] = z[i] - a;
            break;
        case DIVIDE:
            for (int64_t i = 0; i < rows; i++)
                z[i] = z[i] / a;
            break;
        case EQUAL:
            for (int64_t i = 0; i < rows; i++)
                z[i] = z[i] == a ? 1 : 0;
            break;
        case IS_NULL:
            for (int64_t i = 0; i < rows; i++)
                z[i] = z[i] != z[i] ? 1 : 0;
            break;
        case ROUND:
            for (int64_t i = 0; i < rows; i++)
                z[i] = (double)(float)z[i];
            break;
        case NEGATE:
            for (int64_t i = 0; i < rows; i++)
                z[i] = -z[i];
            break;
        }
    }
}

static inline uint32_t narrow_next(const struct narrow_node *nodes, uint32_t at, const float *values)
{
    const struct narrow_node node = nodes[at];
    return (node.child_slot >> 8) + !(values[node.child_slot & 255] <= node.threshold);
}

static inline uint32_t wide_next(const struct wide_node *nodes, uint32_t at, const double *values)
{
    const struct wide_node node = nodes[at];
    return node.child + !(values[node.slot] <= node.threshold);
}

#define NODE struct narrow_node
#define VALUE float
#define NEXT narrow_next
#define NAME(x) narrow_##x
#include "walk.h"
#undef NODE
#undef VALUE
#undef NEXT
#undef NAME

#define NODE struct wide_node
#define VALUE double
#define NEXT wide_next
#define NAME(x) wide_##x
#include "walk.h"

/* All functions below: `x` has `rows` rows of `inputs` doubles, `out` gets as many rows of `targets`.
 * They return 0, or -1 if there is no memory. */

int forest_run(const struct forest *forest, const double *x, int64_t rows, double *out)
{
    return forest->narrow ? narrow_run(forest, x, rows, out) : wide_run(forest, x, rows, out);
}

/* The first target of one row, without asking for memory. */
double forest_row(const struct forest *forest, const double *x)
{
    return forest->narrow ? narrow_row(forest, x) : wide_row(forest, x);
}

/* Adds the products from the first column to the last, then the intercept. */
static void linear_block(const struct linear *linear, const double *x, int64_t rows, int64_t targets, double *restrict sums)
{
    double z[BLOCK_ROWS];
    for (int64_t i = 0; i < rows * targets; i++)
        sums[i] = 0;
    for (int64_t c = 0; c < linear->column_count; c++) {
        prepare(linear->columns + c, x, linear->inputs, rows, z);
        for (int64_t t = 0; t < targets; t++) {
            const double weight = linear->weights[c * linear->targets + t];
            for (int64_t i = 0; i < rows; i++)
                sums[i * targets + t] += weight * z[i];
        }
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t t = 0; t < targets; t++)
            sums[i * targets + t] += linear->intercept[t];
}

int linear_run(const struct linear *linear, const double *x, int64_t rows, double *out)
{
    for (int64_t start = 0; start < rows; start += BLOCK_ROWS) {
        const int64_t some = rows - start < BLOCK_ROWS ? rows - start : BLOCK_ROWS;
        linear_block(linear, x + start * linear->inputs, some, linear->targets, out + start * linear->targets);
    }
    return 0;
}

double linear_row(const struct linear *linear, const double *x)
{
    double sum;
    linear_block(linear, x, 1, 1, &sum);
    return sum;
}
