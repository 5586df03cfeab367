// One variant of the counting: `_tally.cpp` includes this once for each, inside the variant's
// namespace and with its instruction set, after TAG2MASK_MADD(a, b, c) = a · b + c.

// Which two cells a pixel lies between along one axis, and what each of them weighs: those of
// PyTorch's bilinear enlarging (align_corners=False), with its roundings.
struct Axis {
    std::vector<std::int32_t> low, high;
    std::vector<float> near, far;

    Axis(std::int32_t cells, std::int32_t pixels)
        : low(pixels), high(pixels), near(pixels), far(pixels) {
        const float scale = float(cells) / float(pixels);
        for (std::int32_t i = 0; i < pixels; ++i) {
            float place = float(i);
            if (cells != pixels) place = scale * (float(i) + 0.5f) - 0.5f;
            place = std::max(place, 0.0f);
            low[i] = std::min(std::int32_t(place), cells - 1);
            high[i] = std::min(low[i] + 1, cells - 1);
            far[i] = std::min(std::max(place - float(low[i]), 0.0f), 1.0f);
            near[i] = 1.0f - far[i];
        }
    }
};

// The maps enlarged, one row of pixels at a time, in order from the top.
class Enlarged {
  public:
    Enlarged(const float* maps, const Shape& shape)
        : maps_(maps), shape_(shape), down_(shape.rows, shape.height),
          across_(shape.columns, shape.width), upper_(std::size_t(shape.count) * shape.width),
          lower_(upper_.size()) {}

    // Must be called for 0, 1, 2 … in turn.
    void seek(std::int32_t y) {
        if (y == 0 || down_.low[y] != low_) {
            if (y > 0 && down_.low[y] == high_)
                std::swap(upper_, lower_);
            else
                stretch(down_.low[y], upper_);
            if (down_.high[y] == down_.low[y])
                lower_ = upper_;
            else
                stretch(down_.high[y], lower_);
            low_ = down_.low[y];
            high_ = down_.high[y];
        }
        near_ = down_.near[y];
        far_ = down_.far[y];
    }
    void write(std::int32_t map, float* TAG2MASK_RESTRICT to) const {
        const float* TAG2MASK_RESTRICT upper = upper_.data() + std::size_t(map) * shape_.width;
        const float* TAG2MASK_RESTRICT lower = lower_.data() + std::size_t(map) * shape_.width;
        const float near = near_, far = far_;
        for (std::int32_t x = 0; x < shape_.width; ++x)
            to[x] = TAG2MASK_MADD(upper[x], near, lower[x] * far);
    }

  private:
    void stretch(std::int32_t row, std::vector<float>& to) const {
        for (std::int32_t map = 0; map < shape_.count; ++map) {
            const float* from =
                maps_ + (std::size_t(map) * shape_.rows + row) * shape_.columns;
            float* out = to.data() + std::size_t(map) * shape_.width;
            for (std::int32_t x = 0; x < shape_.width; ++x)
                out[x] = TAG2MASK_MADD(from[across_.low[x]], across_.near[x],
                                       from[across_.high[x]] * across_.far[x]);
        }
    }

    const float* maps_;
    const Shape& shape_;
    Axis down_, across_;
    std::vector<float> upper_, lower_;  // the two rows of cells around a row of pixels, stretched
    std::int32_t low_ = 0, high_ = 0;
    float near_ = 1, far_ = 0;
};

void enlarge(const float* maps, const Shape& shape, float* full) {
    Enlarged enlarged(maps, shape);
    for (std::int32_t y = 0; y < shape.height; ++y) {
        enlarged.seek(y);
        for (std::int32_t map = 0; map < shape.count; ++map)
            enlarged.write(map, full + (std::size_t(map) * shape.height + y) * shape.width);
    }
}

// The best class of every pixel of one row, of equals the first, and the table's cell it falls in.
class Best {
  public:
    explicit Best(std::int32_t width) : peak(width), other_(width), place(width), cell(width) {}

    void find(const Enlarged& enlarged, std::int32_t count, std::int32_t cells) {
        enlarged.write(0, peak.data());
        std::fill(place.begin(), place.end(), 0);
        for (std::int32_t map = 1; map < count; ++map) {
            enlarged.write(map, other_.data());
            compare(map);
        }
        const float scale = float(cells), last = float(cells - 1);
        const auto width = std::int32_t(peak.size());
        const float* TAG2MASK_RESTRICT from = peak.data();
        std::int32_t* TAG2MASK_RESTRICT to = cell.data();
        for (std::int32_t x = 0; x < width; ++x) {
            float scaled = from[x] * scale;
            scaled = scaled > 0.0f ? scaled : 0.0f;
            to[x] = std::int32_t(scaled < last ? scaled : last);
        }
    }

    std::vector<float> peak;

  private:
    void compare(std::int32_t map) {
        const auto width = std::int32_t(peak.size());
        const float* TAG2MASK_RESTRICT other = other_.data();
        float* TAG2MASK_RESTRICT best = peak.data();
        std::int32_t* TAG2MASK_RESTRICT number = place.data();
        for (std::int32_t x = 0; x < width; ++x) {
            const bool more = other[x] > best[x];
            number[x] = more ? map : number[x];
            best[x] = more ? other[x] : best[x];
        }
    }

    std::vector<float> other_;

  public:
    std::vector<std::int32_t> place, cell;
};

// What a value in one cell of the table beats: `below` levels surely, one more if above `next`.
struct Cell {
    float next;
    std::int32_t below;
};

// Whether one comparison is enough everywhere, and the table.
inline bool fill(const Levels& levels, std::vector<Cell>& table) {
    std::int32_t most = 0;
    for (std::int32_t cell = 0; cell < levels.cells; ++cell) {
        const std::int32_t below = levels.below[cell];
        table[cell] = {levels.marks[below], below};
        const bool last = cell + 1 == levels.cells;
        most = std::max(most, (last ? levels.count : levels.below[cell + 1]) - below);
    }
    return most <= 1;
}

// Pixels by row of their truth, number of levels beaten, and best class. Neighbours are much alike,
// so two tables take turns: no sum waits for the one before it.
void tally(const float* maps, const Shape& shape, const Levels& levels, const std::uint8_t* truth,
           const std::int32_t* rows, std::int32_t row_count, std::int64_t* counts) {
    const auto step = std::uint32_t(levels.count + 1) * std::uint32_t(shape.count);
    const std::size_t size = std::size_t(step) * row_count;
    std::vector<std::uint32_t> turns(2 * size);
    std::uint32_t starts[256];
    for (int value = 0; value < 256; ++value) starts[value] = step * std::uint32_t(rows[value]);
    std::vector<Cell> table(levels.cells);
    const bool once = fill(levels, table);
    const std::int32_t count = shape.count, width = shape.width;
    const float* marks = levels.marks;
    const Cell* known = table.data();
    Enlarged enlarged(maps, shape);
    Best best(shape.width);
    for (std::int32_t y = 0; y < shape.height; ++y, truth += shape.width) {
        enlarged.seek(y);
        best.find(enlarged, shape.count, levels.cells);
        const float* peak = best.peak.data();
        const std::int32_t *cells = best.cell.data(), *place = best.place.data();
        const auto count_one = [&](std::int32_t x, std::uint32_t* to) TAG2MASK_ALWAYS {
            const Cell cell = known[cells[x]];
            std::int32_t beaten = cell.below + (peak[x] > cell.next ? 1 : 0);
            while (!once && peak[x] > marks[beaten]) ++beaten;
            ++to[starts[truth[x]] + std::uint32_t(beaten * count + place[x])];
        };
        std::int32_t x = 0;
        for (; x + 1 < width; x += 2) {
            count_one(x, turns.data());
            count_one(x + 1, turns.data() + size);
        }
        if (x < width) count_one(x, turns.data());
    }
    for (std::size_t i = 0; i < size; ++i) counts[i] = std::int64_t(turns[i]) + turns[size + i];
}
