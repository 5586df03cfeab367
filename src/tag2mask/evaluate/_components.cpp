// The connected components of a map at every level, in one pass over its pixels from the highest
// down. `components.py` says what is found; here is how: pixels of one bin are taken together, each
// joins what already stands around it, and what it joins from a higher bin is written down as a
// component that stood until here. The work is done without holding the GIL.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

namespace {

// A component; `low` is unknown until it grows or meets another. Eight numbers, as they are
// handed on.
struct Component {
    std::int64_t left, top, right, bottom, area, first, low, high;
};

constexpr std::int32_t NONE = -1;

class Joiner {
public:
    Joiner(const std::int32_t* beaten, std::int32_t height, std::int32_t width)
        : beaten_(beaten),
          height_(height),
          width_(width),
          member_(static_cast<std::size_t>(height) * width, NONE) {}

    std::vector<Component> run() {
        for (std::int32_t pixel : highest_first()) add(pixel);
        for (std::size_t number = 0; number < root_.size(); ++number)
            if (root_[number] == static_cast<std::int32_t>(number)) write(standing_[number], 0);
        return std::move(found_);
    }

private:
    // Pixels above the lowest level, by falling bin and in reading order.
    std::vector<std::int32_t> highest_first() const {
        const auto pixels = static_cast<std::int32_t>(member_.size());
        std::int32_t highest = 0;
        for (std::int32_t p = 0; p < pixels; ++p) highest = std::max(highest, beaten_[p]);
        std::vector<std::int32_t> begin(static_cast<std::size_t>(highest) + 2, 0);
        for (std::int32_t p = 0; p < pixels; ++p)
            if (beaten_[p] > 0) ++begin[highest - beaten_[p] + 1];
        for (std::size_t bin = 1; bin < begin.size(); ++bin) begin[bin] += begin[bin - 1];
        std::vector<std::int32_t> order(begin.back());
        for (std::int32_t p = 0; p < pixels; ++p)
            if (beaten_[p] > 0) order[begin[highest - beaten_[p]]++] = p;
        return order;
    }

    void add(std::int32_t pixel) {
        const std::int32_t row = pixel / width_, column = pixel % width_, bin = beaten_[pixel];
        const std::int32_t left = std::max(column - 1, 0), right = std::min(column + 1, width_ - 1);
        std::int32_t ours = NONE, seen = NONE;
        for (std::int32_t r = std::max(row - 1, 0); r <= std::min(row + 1, height_ - 1); ++r) {
            for (std::int32_t c = left; c <= right; ++c) {
                const std::int32_t member = member_[r * width_ + c];
                if (member == NONE || member == seen) continue;
                seen = member;
                const std::int32_t theirs = root_of(member);
                if (theirs != ours) ours = ours == NONE ? theirs : meet(ours, theirs, bin);
            }
        }
        if (ours == NONE) {
            ours = static_cast<std::int32_t>(root_.size());
            root_.push_back(ours);
            standing_.push_back({column, row, column + 1, row + 1, 0, pixel, 0, bin});
        }
        member_[pixel] = ours;
        extend(standing_[ours], {column, row, column + 1, row + 1, 1, pixel, 0, bin});
    }

    // What stood until this bin is written down, and goes on with what it meets.
    void extend(Component& to, const Component& by) {
        write(to, by.high);
        to.left = std::min(to.left, by.left);
        to.top = std::min(to.top, by.top);
        to.right = std::max(to.right, by.right);
        to.bottom = std::max(to.bottom, by.bottom);
        to.first = std::min(to.first, by.first);
        to.area += by.area;
        to.high = by.high;
    }

    // Two components meet at a bin: both end there, and the larger goes on as what they are now.
    std::int32_t meet(std::int32_t ours, std::int32_t theirs, std::int32_t bin) {
        if (standing_[ours].area < standing_[theirs].area) std::swap(ours, theirs);
        Component& met = standing_[theirs];
        write(met, bin);
        met.high = bin;
        extend(standing_[ours], met);
        root_[theirs] = ours;
        return ours;
    }

    // What was begun at this very bin is not whole yet.
    void write(Component component, std::int64_t low) {
        component.low = low;
        if (low < component.high) found_.push_back(component);
    }

    std::int32_t root_of(std::int32_t number) {
        while (root_[number] != number) {
            root_[number] = root_[root_[number]];
            number = root_[number];
        }
        return number;
    }

    const std::int32_t* beaten_;
    std::int32_t height_, width_;
    std::vector<std::int32_t> member_;  // of which component, by pixel
    std::vector<std::int32_t> root_;    // what each has gone on in
    std::vector<Component> standing_;
    std::vector<Component> found_;
};

PyObject* join(PyObject*, PyObject* arguments) {
    Py_buffer beaten;
    int height, width;
    if (!PyArg_ParseTuple(arguments, "y*ii", &beaten, &height, &width)) return nullptr;
    const Py_ssize_t pixels = static_cast<Py_ssize_t>(height) * width;
    if (height < 0 || width < 0 || pixels > INT32_MAX ||
        beaten.len != pixels * static_cast<Py_ssize_t>(sizeof(std::int32_t))) {
        PyBuffer_Release(&beaten);
        PyErr_SetString(PyExc_ValueError, "the buffer is not height x width numbers of 32 bits");
        return nullptr;
    }
    std::vector<Component> found;
    bool full = false;
    Py_BEGIN_ALLOW_THREADS
    try {
        found = Joiner(static_cast<const std::int32_t*>(beaten.buf), height, width).run();
    } catch (const std::bad_alloc&) {
        full = true;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&beaten);
    if (full) return PyErr_NoMemory();
    return PyBytes_FromStringAndSize(
        reinterpret_cast<const char*>(found.data()),
        static_cast<Py_ssize_t>(found.size() * sizeof(Component)));
}

PyMethodDef methods[] = {
    {"join", join, METH_VARARGS,
     "Components of a map of bins as rows of left, top, right, bottom, area, first, low, high."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_components", nullptr, -1, methods,
    nullptr, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__components() { return PyModule_Create(&module); }
