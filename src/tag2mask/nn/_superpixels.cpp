// SLIC superpixels of one photograph: Achanta et al., SLIC Superpixels Compared to State-of-the-art
// Superpixel Methods, TPAMI 2012. `slic.py` beside this file says what is computed; here is how.
//
// A row at a time: every cluster that reaches a row offers its distance to the pixels there, the row
// is decided, and its pixels are added to the sums of their clusters, all while the row is in the
// nearest cache. Work on a row goes in blocks of a fixed number of pixels, so that the compiler
// makes vectors of it and the result does not depend on their width.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <numeric>
#include <vector>

// A second version for processors with wider vectors, chosen when the module is loaded. Without
// fused multiply-add, so that both versions round alike.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDER __attribute__((target_clones("avx2", "default")))
#else
#define WIDER
#endif

namespace {

constexpr int BLOCK = 16;        // pixels; rows are padded to a multiple
constexpr int STRIDE = 3;        // rows; all but the last iteration look at every third
constexpr float REACH = 1.25f;  // of a cluster, in steps of the grid
constexpr float SMALLEST = 0.25f;  // of a segment, in cells of the grid; smaller ones are merged

struct Picture {
    int height, width, pitch;
    std::vector<float> lightness, red_green, blue_yellow;  // CIE Lab, rows of `pitch`
};

struct Cluster {
    float lightness, red_green, blue_yellow, y, x;
};

struct Sums {
    float lightness = 0, red_green = 0, blue_yellow = 0, y = 0, x = 0, count = 0;
};

struct Run {
    int begin, end, label, component;  // pixels of one row, end excluded
};

float lab_root(float t) { return t > 0.008856f ? std::cbrt(t) : 7.787f * t + 16.0f / 116.0f; }

// The conversion in tables: of a byte to linear light, of linear light to Lab's root.
struct Tables {
    static constexpr int STEPS = 4096;
    std::array<float, 256> linear;
    std::array<float, STEPS + 2> root;

    Tables() {
        for (int value = 0; value < 256; ++value) {
            const float share = value / 255.0f;
            linear[value] =
                share > 0.04045f ? std::pow((share + 0.055f) / 1.055f, 2.4f) : share / 12.92f;
        }
        for (int step = 0; step < STEPS + 2; ++step)
            root[step] = lab_root(static_cast<float>(step) / STEPS);
    }

    float operator()(float t) const {
        const float place = t * STEPS;
        const int step = static_cast<int>(place);
        return root[step] + (place - static_cast<float>(step)) * (root[step + 1] - root[step]);
    }
};

Picture to_lab(const std::uint8_t* rgb, int height, int width) {
    static const Tables tables;
    const int pitch = (width + BLOCK - 1) / BLOCK * BLOCK;
    const std::size_t plane = static_cast<std::size_t>(height) * width;
    Picture picture{height, width, pitch, {}, {}, {}};
    for (auto* channel : {&picture.lightness, &picture.red_green, &picture.blue_yellow})
        channel->assign(static_cast<std::size_t>(height) * pitch, 0.0f);
    for (int y = 0; y < height; ++y) {
        const std::uint8_t* from = rgb + static_cast<std::size_t>(y) * width;
        const std::size_t to = static_cast<std::size_t>(y) * pitch;
        for (int x = 0; x < width; ++x) {
            const float r = tables.linear[from[x]];
            const float g = tables.linear[from[x + plane]];
            const float b = tables.linear[from[x + 2 * plane]];
            const float fx = tables((0.412453f * r + 0.357580f * g + 0.180423f * b) / 0.95047f);
            const float fy = tables(0.212671f * r + 0.715160f * g + 0.072169f * b);
            const float fz = tables((0.019334f * r + 0.119193f * g + 0.950227f * b) / 1.08883f);
            picture.lightness[to + x] = 116.0f * fy - 16.0f;
            picture.red_green[to + x] = 500.0f * (fx - fy);
            picture.blue_yellow[to + x] = 200.0f * (fy - fz);
        }
    }
    return picture;
}

// Clusters on a grid of nearly square cells, as many as were asked for or nearly so.
std::vector<Cluster> on_a_grid(const Picture& picture, int segments) {
    const float height = picture.height, width = picture.width;
    const int asked = std::max(1, static_cast<int>(std::lround(std::sqrt(segments * height / width))));
    const int rows = std::min(asked, picture.height);
    const int columns = std::clamp(
        static_cast<int>(std::lround(static_cast<float>(segments) / rows)), 1, picture.width);
    std::vector<Cluster> clusters;
    for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns; ++column) {
            const float y = (row + 0.5f) * height / rows - 0.5f;
            const float x = (column + 0.5f) * width / columns - 0.5f;
            const std::size_t place =
                static_cast<std::size_t>(std::lround(y)) * picture.pitch + std::lround(x);
            clusters.push_back({picture.lightness[place], picture.red_green[place],
                                picture.blue_yellow[place], y, x});
        }
    }
    return clusters;
}

// Offer a cluster to the pixels begin … end − 1 of a row, both multiples of the block.
// `away` is the squared distance of the row, weighted like that of the columns.
WIDER void offer(const float* __restrict lightness, const float* __restrict red_green,
                 const float* __restrict blue_yellow, int begin, int end, Cluster cluster,
                 std::int32_t number, float nearness, float away, float* __restrict best,
                 std::int32_t* __restrict labels) {
    for (int start = begin; start < end; start += BLOCK) {
        for (int i = 0; i < BLOCK; ++i) {
            const int x = start + i;
            const float l = lightness[x] - cluster.lightness;
            const float a = red_green[x] - cluster.red_green;
            const float b = blue_yellow[x] - cluster.blue_yellow;
            const float right = static_cast<float>(x) - cluster.x;
            const float distance = l * l + a * a + b * b + (right * right * nearness + away);
            const bool nearer = distance < best[x];
            best[x] = nearer ? distance : best[x];
            labels[x] = nearer ? number : labels[x];
        }
    }
}

class Slic {
public:
    Slic(const Picture& picture, int segments, float compactness)
        : picture_(picture), clusters_(on_a_grid(picture, segments)) {
        const float cells = static_cast<float>(clusters_.size());
        step_ = std::max(1.0f, std::sqrt(picture.height * static_cast<float>(picture.width) / cells));
        nearness_ = compactness * compactness / (step_ * step_);
        labels_.assign(static_cast<std::size_t>(picture.height) * picture.pitch, 0);
    }

    // Assign the pixels of every `stride`-th row, from `first_row` on, and move the clusters.
    void iterate(int first_row, int stride) {
        std::vector<Sums> sums(clusters_.size());
        std::vector<float> best(picture_.pitch);
        const std::vector<std::int32_t> order = from_top_to_bottom();
        const float reach = REACH * step_;
        std::size_t first = 0;
        for (int y = first_row; y < picture_.height; y += stride) {
            std::fill(best.begin(), best.end(), std::numeric_limits<float>::infinity());
            while (first < order.size() && clusters_[order[first]].y < y - reach) ++first;
            for (std::size_t i = first; i < order.size(); ++i) {
                if (clusters_[order[i]].y > y + reach) break;
                offer_to_row(y, order[i], reach, best.data());
            }
            add_row(y, sums);
        }
        move_to_means(sums);
    }

    const std::vector<std::int32_t>& labels() const { return labels_; }
    float step() const { return step_; }

private:
    std::vector<std::int32_t> from_top_to_bottom() const {
        std::vector<std::int32_t> order(clusters_.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(),
                         [this](int i, int j) { return clusters_[i].y < clusters_[j].y; });
        return order;
    }

    void offer_to_row(int y, std::int32_t number, float reach, float* best) {
        const Cluster& cluster = clusters_[number];
        const int left = std::max(0, static_cast<int>(cluster.x - reach));
        const int right = std::min(picture_.width, static_cast<int>(cluster.x + reach) + 1);
        const std::size_t row = static_cast<std::size_t>(y) * picture_.pitch;
        const float down = static_cast<float>(y) - cluster.y;
        offer(&picture_.lightness[row], &picture_.red_green[row], &picture_.blue_yellow[row],
              left / BLOCK * BLOCK, (right + BLOCK - 1) / BLOCK * BLOCK, cluster, number, nearness_,
              down * down * nearness_, best, &labels_[row]);
    }

    void add_row(int y, std::vector<Sums>& sums) const {
        const std::size_t row = static_cast<std::size_t>(y) * picture_.pitch;
        for (int x = 0; x < picture_.width; ++x) {
            Sums& sum = sums[labels_[row + x]];
            sum.lightness += picture_.lightness[row + x];
            sum.red_green += picture_.red_green[row + x];
            sum.blue_yellow += picture_.blue_yellow[row + x];
            sum.y += static_cast<float>(y);
            sum.x += static_cast<float>(x);
            sum.count += 1.0f;
        }
    }

    void move_to_means(const std::vector<Sums>& sums) {
        for (std::size_t k = 0; k < sums.size(); ++k) {
            const Sums& sum = sums[k];
            if (sum.count == 0.0f) continue;  // an empty cluster stays where it is
            clusters_[k] = {sum.lightness / sum.count, sum.red_green / sum.count,
                            sum.blue_yellow / sum.count, sum.y / sum.count, sum.x / sum.count};
        }
    }

    const Picture& picture_;
    std::vector<Cluster> clusters_;
    std::vector<std::int32_t> labels_;
    float step_, nearness_;
};

// Numbers of which some turn out to be the same; one of them, the root, speaks for all.
class Unions {
public:
    int add() {
        parents_.push_back(static_cast<int>(parents_.size()));
        return parents_.back();
    }
    int root(int i) {
        while (parents_[i] != i) i = parents_[i] = parents_[parents_[i]];
        return i;
    }
    void join(int into, int from) { parents_[from] = into; }
    int size() const { return static_cast<int>(parents_.size()); }

private:
    std::vector<int> parents_;
};

// Connected components of the clusters, small ones merged into the neighbour of the nearest colour.
class Components {
public:
    Components(const Picture& picture, const std::vector<std::int32_t>& labels)
        : picture_(picture) {
        find_runs(labels);
        join_rows();
        measure();
    }

    void merge_smaller_than(float smallest) {
        std::vector<std::vector<int>> neighbours = neighbours_of_smaller_than(smallest);
        std::vector<int> order;
        for (int i = 0; i < unions_.size(); ++i)
            if (sums_[i].count < smallest) order.push_back(i);
        std::stable_sort(order.begin(), order.end(),
                         [this](int i, int j) { return sums_[i].count < sums_[j].count; });
        for (const int small : order) {
            if (unions_.root(small) != small || sums_[small].count >= smallest) continue;
            const int into = nearest(small, neighbours[small]);
            if (into < 0) continue;
            unite(into, small);
            neighbours[into].insert(neighbours[into].end(), neighbours[small].begin(),
                                    neighbours[small].end());
            neighbours[small] = {};
        }
    }

    // Write 0 … S − 1 in the order of first pixels; returns S.
    int write(std::int64_t* regions) {
        std::vector<int> numbers(unions_.size(), -1);
        int count = 0;
        for (int y = 0; y < picture_.height; ++y) {
            std::int64_t* row = regions + static_cast<std::size_t>(y) * picture_.width;
            for (int i = rows_[y]; i < rows_[y + 1]; ++i) {
                int& number = numbers[unions_.root(runs_[i].component)];
                if (number < 0) number = count++;
                std::fill(row + runs_[i].begin, row + runs_[i].end, number);
            }
        }
        return count;
    }

private:
    void find_runs(const std::vector<std::int32_t>& labels) {
        for (int y = 0; y < picture_.height; ++y) {
            rows_.push_back(static_cast<int>(runs_.size()));
            const std::int32_t* row = &labels[static_cast<std::size_t>(y) * picture_.pitch];
            for (int begin = 0; begin < picture_.width;) {
                int end = begin + 1;
                while (end < picture_.width && row[end] == row[begin]) ++end;
                runs_.push_back({begin, end, row[begin], 0});
                begin = end;
            }
        }
        rows_.push_back(static_cast<int>(runs_.size()));
    }

    // Call touch(upper, lower) for runs of the row y and the one above that share a column.
    template <typename Touch>
    void across(int y, Touch touch) {
        int upper = rows_[y - 1], lower = rows_[y];
        while (upper < rows_[y] && lower < rows_[y + 1]) {
            touch(runs_[upper], runs_[lower]);
            const int ends = runs_[upper].end - runs_[lower].end;
            upper += ends <= 0;
            lower += ends >= 0;
        }
    }

    // Components in the order of their first pixels.
    void join_rows() {
        Unions found;
        for (Run& run : runs_) run.component = found.add();
        for (int y = 1; y < picture_.height; ++y) {
            across(y, [&found](const Run& upper, const Run& lower) {
                if (upper.label != lower.label) return;
                const int i = found.root(upper.component), j = found.root(lower.component);
                found.join(std::min(i, j), std::max(i, j));
            });
        }
        std::vector<int> numbers(runs_.size(), -1);
        for (Run& run : runs_) {
            int& number = numbers[found.root(run.component)];
            if (number < 0) number = unions_.add();
            run.component = number;
        }
    }

    void measure() {
        sums_.resize(unions_.size());
        for (int y = 0; y < picture_.height; ++y) {
            const std::size_t row = static_cast<std::size_t>(y) * picture_.pitch;
            for (int i = rows_[y]; i < rows_[y + 1]; ++i) {
                Sums& sum = sums_[runs_[i].component];
                for (int x = runs_[i].begin; x < runs_[i].end; ++x) {
                    sum.lightness += picture_.lightness[row + x];
                    sum.red_green += picture_.red_green[row + x];
                    sum.blue_yellow += picture_.blue_yellow[row + x];
                }
                sum.count += static_cast<float>(runs_[i].end - runs_[i].begin);
            }
        }
    }

    std::vector<std::vector<int>> neighbours_of_smaller_than(float smallest) {
        std::vector<std::vector<int>> neighbours(unions_.size());
        const auto touch = [&](const Run& first, const Run& second) {
            const int i = first.component, j = second.component;
            if (i == j) return;
            if (sums_[i].count < smallest) neighbours[i].push_back(j);
            if (sums_[j].count < smallest) neighbours[j].push_back(i);
        };
        for (int y = 0; y < picture_.height; ++y) {
            if (y > 0) across(y, touch);
            for (int i = rows_[y] + 1; i < rows_[y + 1]; ++i) touch(runs_[i - 1], runs_[i]);
        }
        return neighbours;
    }

    int nearest(int small, const std::vector<int>& neighbours) {
        int found = -1;
        float least = std::numeric_limits<float>::infinity();
        for (const int neighbour : neighbours) {
            const int other = unions_.root(neighbour);
            const float distance = other == small ? least : colour_distance(small, other);
            if (distance < least) found = other, least = distance;
        }
        return found;
    }

    float colour_distance(int i, int j) const {
        const Sums &one = sums_[i], &other = sums_[j];
        const float l = one.lightness / one.count - other.lightness / other.count;
        const float a = one.red_green / one.count - other.red_green / other.count;
        const float b = one.blue_yellow / one.count - other.blue_yellow / other.count;
        return l * l + a * a + b * b;
    }

    void unite(int into, int small) {
        unions_.join(into, small);
        sums_[into].lightness += sums_[small].lightness;
        sums_[into].red_green += sums_[small].red_green;
        sums_[into].blue_yellow += sums_[small].blue_yellow;
        sums_[into].count += sums_[small].count;
    }

    const Picture& picture_;
    std::vector<Run> runs_;
    std::vector<int> rows_;
    Unions unions_;
    std::vector<Sums> sums_;
};

int superpixels(const std::uint8_t* rgb, int height, int width, int segments, float compactness,
                int iterations, std::int64_t* regions) {
    const Picture picture = to_lab(rgb, height, width);
    Slic slic(picture, segments, compactness);
    const int stride = std::min(STRIDE, height);
    for (int iteration = 1; iteration < iterations; ++iteration)
        slic.iterate(iteration % stride, stride);
    slic.iterate(0, 1);
    Components components(picture, slic.labels());
    components.merge_smaller_than(SMALLEST * slic.step() * slic.step());
    return components.write(regions);
}

struct View {
    Py_buffer buffer{};
    bool held = false;

    bool hold(PyObject* object, int flags) {
        held = PyObject_GetBuffer(object, &buffer, flags) == 0;
        return held;
    }
    ~View() {
        if (held) PyBuffer_Release(&buffer);
    }
};

PyObject* call_slic(PyObject*, PyObject* arguments) {
    PyObject *image, *regions;
    int height, width, segments, iterations;
    float compactness;
    if (!PyArg_ParseTuple(arguments, "OiiifiO", &image, &height, &width, &segments, &compactness,
                          &iterations, &regions))
        return nullptr;
    View from, to;
    if (!from.hold(image, PyBUF_C_CONTIGUOUS)) return nullptr;
    if (!to.hold(regions, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) return nullptr;
    const Py_ssize_t pixels = static_cast<Py_ssize_t>(height) * width;
    if (height < 1 || width < 1 || segments < 1 || iterations < 1 || from.buffer.len != 3 * pixels ||
        to.buffer.len != 8 * pixels) {
        PyErr_SetString(PyExc_ValueError, "slic: sizes do not fit");
        return nullptr;
    }
    int count = 0;
    Py_BEGIN_ALLOW_THREADS;
    try {
        count = superpixels(static_cast<const std::uint8_t*>(from.buffer.buf), height, width,
                            segments, compactness, iterations,
                            static_cast<std::int64_t*>(to.buffer.buf));
    } catch (const std::bad_alloc&) {
        count = -1;
    }
    Py_END_ALLOW_THREADS;
    return count < 0 ? PyErr_NoMemory() : PyLong_FromLong(count);
}

PyMethodDef methods[] = {
    {"slic", call_slic, METH_VARARGS,
     "slic(image, height, width, segments, compactness, iterations, regions) -> count\n\n"
     "Write the region of every pixel of a uint8 RGB image in planes into int64 regions."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_superpixels", nullptr, -1, methods,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__superpixels() { return PyModule_Create(&module); }
