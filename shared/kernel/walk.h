/* How rows go down trees, for one kind of node. Included by kernel.c with NODE, VALUE, NEXT and NAME.
 *
 * Sixteen walks go down in lock-step, without a branch that depends on data. In bulk they are sixteen rows in one tree,
 * which stays in the cache while a block of rows goes through it; for a single row, the row in sixteen trees.
 * A row's leaves are added from the first tree to the last, either way.
 */

/* Walks on until each stands on a leaf, or has taken `depth` steps, which is as many as there are. Walk l reads the
 * values at `values + l * stride`. */
static inline void NAME(descend)(const NODE *nodes, uint32_t at[LANES], const VALUE *values, int64_t stride,
                                 uint32_t depth)
{
    for (uint32_t level = 0; level < depth;) {
        const uint32_t last = level + LEVELS < depth ? level + LEVELS : depth;
        uint32_t moved = 0;
        for (; level < last - 1; level++)
            for (int l = 0; l < LANES; l++)
                at[l] = NEXT(nodes, at[l], values + l * stride);
        for (int l = 0; l < LANES; l++) {
            const uint32_t next = NEXT(nodes, at[l], values + l * stride);
            moved |= next ^ at[l];
            at[l] = next;
        }
        level++;
        if (!moved)
            return;
    }
}

static double NAME(target)(const struct forest *forest, int64_t target, const VALUE *values)
{
    const struct tree *tree = forest->trees + forest->first_tree[target];
    const struct tree *end = forest->trees + forest->first_tree[target + 1];
    double sum = 0;
    while (tree < end) {
        const int some = end - tree < LANES ? (int)(end - tree) : LANES;
        uint32_t at[LANES], depth = 0;
        for (int l = 0; l < LANES; l++) {
            const struct tree *own = l < some ? tree + l : tree; /* walks left over repeat the first */
            at[l] = own->root;
            depth = own->depth > depth ? own->depth : depth;
        }
        NAME(descend)(forest->nodes, at, values, 0, depth);
        for (int l = 0; l < some; l++)
            sum += forest->leaves[at[l]];
        tree += some;
    }
    return sum / forest->divisor;
}

/* Fills `rows` rows of `slots` values each. */
static void NAME(fill)(const struct forest *forest, const double *x, int64_t rows, VALUE *restrict values)
{
    const int64_t slots = forest->slots;
    double z[BLOCK_ROWS];
    for (int64_t i = 0; i < rows; i++)
        values[i * slots] = 0;
    for (int64_t slot = 1; slot < slots; slot++) {
        prepare(forest->columns + slot - 1, x, forest->inputs, rows, z);
        for (int64_t i = 0; i < rows; i++)
            values[i * slots + slot] = (VALUE)z[i];
    }
}

static double NAME(row)(const struct forest *forest, const double *x)
{
    VALUE values[MAX_SLOTS];
    NAME(fill)(forest, x, 1, values);
    return NAME(target)(forest, 0, values);
}

/* A block of rows: as many as make whole sets of lanes in step, tree by tree, the others one by one. */
static void NAME(block)(const struct forest *forest, const VALUE *values, int64_t rows, double *restrict out)
{
    const int64_t slots = forest->slots, targets = forest->targets, whole = rows - rows % LANES;
    for (int64_t target = 0; target < targets; target++) {
        for (int64_t i = 0; i < whole; i++)
            out[i * targets + target] = 0;
        for (int64_t t = forest->first_tree[target]; t < forest->first_tree[target + 1]; t++)
            for (int64_t i = 0; i < whole; i += LANES) {
                uint32_t at[LANES];
                for (int l = 0; l < LANES; l++)
                    at[l] = forest->trees[t].root;
                NAME(descend)(forest->nodes, at, values + i * slots, slots, forest->trees[t].depth);
                for (int l = 0; l < LANES; l++)
                    out[(i + l) * targets + target] += forest->leaves[at[l]];
            }
        for (int64_t i = 0; i < whole; i++)
            out[i * targets + target] /= forest->divisor;
        for (int64_t i = whole; i < rows; i++)
            out[i * targets + target] = NAME(target)(forest, target, values + i * slots);
    }
}

static int NAME(run)(const struct forest *forest, const double *x, int64_t rows, double *out)
{
    const int64_t fit = BLOCK_BYTES / (forest->slots * (int64_t)sizeof(VALUE)) / LANES * LANES;
    const int64_t most = fit < LANES ? LANES : fit > BLOCK_ROWS ? BLOCK_ROWS : fit;
    const int64_t largest = rows < most ? rows : most;
    VALUE *values = malloc((size_t)(largest * forest->slots) * sizeof(VALUE));
    if (values == NULL)
        return -1;
    for (int64_t start = 0; start < rows; start += most) {
        const int64_t some = rows - start < most ? rows - start : most;
        NAME(fill)(forest, x + start * forest->inputs, some, values);
        NAME(block)(forest, values, some, out + start * forest->targets);
    }
    free(values);
    return 0;
}
