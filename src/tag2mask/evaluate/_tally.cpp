// Counting the pixels of one photograph in one pass: maps are enlarged row by row, and every pixel
// is counted by its truth, its best class and the levels that this class beats. Nothing as large as
// the photograph is made. The work is done without holding the GIL.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#if defined(__GNUC__) || defined(__clang__)
#define TAG2MASK_RESTRICT __restrict__
#define TAG2MASK_ALWAYS __attribute__((always_inline))
#else
#define TAG2MASK_RESTRICT __restrict
#define TAG2MASK_ALWAYS
#endif

namespace {

struct Shape {
    std::int32_t count, rows, columns;  // maps, and their cells
    std::int32_t height, width;         // pixels
};

// The levels, an infinite one behind them, and of a table of cells over 0 … 1 how many levels
// are surely below each cell.
struct Levels {
    const float* marks;
    std::int32_t count;
    const std::int32_t* below;
    std::int32_t cells;
};

namespace apart {  // a · b rounded, then + c
#define TAG2MASK_MADD(a, b, c) ((a) * (b) + (c))
#include "csrc/rows.hpp"
#undef TAG2MASK_MADD
}  // namespace apart

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define TAG2MASK_FUSED
#define TAG2MASK_FUSED_HERE (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#elif defined(__FP_FAST_FMAF) || defined(__aarch64__)
#define TAG2MASK_FUSED
#define TAG2MASK_FUSED_HERE true
#endif

#if defined(TAG2MASK_FUSED)
namespace fused {  // rounded once
#define TAG2MASK_MADD(a, b, c) __builtin_fmaf(a, b, c)
#include "csrc/rows.hpp"
#undef TAG2MASK_MADD
}  // namespace fused
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#pragma GCC pop_options
#endif
#endif

struct Variant {
    const char* name;
    decltype(&apart::enlarge) enlarge;
    decltype(&apart::tally) tally;
};

// The variants that this machine runs, the faster one first.
const std::vector<Variant>& variants() {
    static const std::vector<Variant> found = [] {
        std::vector<Variant> runnable;
#if defined(TAG2MASK_FUSED)
        if (TAG2MASK_FUSED_HERE) runnable.push_back({"fused", fused::enlarge, fused::tally});
#endif
        runnable.push_back({"apart", apart::enlarge, apart::tally});
        return runnable;
    }();
    return found;
}

// A buffer of the caller, given back when it goes out of scope.
struct View {
    Py_buffer buffer{};
    bool held = false;

    ~View() {
        if (held) PyBuffer_Release(&buffer);
    }
    bool hold(PyObject* object, Py_ssize_t bytes, int flags = 0) {
        held = PyObject_GetBuffer(object, &buffer, PyBUF_C_CONTIGUOUS | flags) == 0;
        if (held && buffer.len != bytes)
            PyErr_Format(PyExc_ValueError, "a buffer of %zd bytes came, %zd were expected",
                         buffer.len, bytes);
        return held && buffer.len == bytes;
    }
    template <class T>
    T* as() const {
        return static_cast<T*>(buffer.buf);
    }
};

const Variant* chosen(int number, const Shape& shape) {
    if (number < 0 || std::size_t(number) >= variants().size()) {
        PyErr_SetString(PyExc_ValueError, "there is no such variant");
        return nullptr;
    }
    if (std::min({shape.count, shape.rows, shape.columns, shape.height, shape.width}) < 1) {
        PyErr_SetString(PyExc_ValueError, "sizes must be at least 1");
        return nullptr;
    }
    return &variants()[std::size_t(number)];
}

Py_ssize_t map_bytes(const Shape& shape) {
    return Py_ssize_t(sizeof(float)) * shape.count * shape.rows * shape.columns;
}

PyObject* call_enlarge(PyObject*, PyObject* arguments) {
    PyObject *maps, *full;
    Shape shape{};
    int number;
    if (!PyArg_ParseTuple(arguments, "OO(iii)(ii)i", &maps, &full, &shape.count, &shape.rows,
                          &shape.columns, &shape.height, &shape.width, &number))
        return nullptr;
    const Variant* variant = chosen(number, shape);
    if (!variant) return nullptr;
    const Py_ssize_t pixels = Py_ssize_t(shape.height) * shape.width;
    View from, to;
    if (!from.hold(maps, map_bytes(shape)) ||
        !to.hold(full, Py_ssize_t(sizeof(float)) * shape.count * pixels, PyBUF_WRITABLE))
        return nullptr;
    bool memory = true;
    Py_BEGIN_ALLOW_THREADS;
    try {
        variant->enlarge(from.as<const float>(), shape, to.as<float>());
    } catch (const std::bad_alloc&) {
        memory = false;
    }
    Py_END_ALLOW_THREADS;
    if (!memory) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject* call_tally(PyObject*, PyObject* arguments) {
    PyObject *maps, *truth, *rows, *marks, *below, *counts;
    Shape shape{};
    Levels levels{};
    int row_count, number;
    if (!PyArg_ParseTuple(arguments, "OOOOOO(iii)(ii)(iii)i", &maps, &truth, &rows, &marks, &below,
                          &counts, &shape.count, &shape.rows, &shape.columns, &shape.height,
                          &shape.width, &row_count, &levels.count, &levels.cells, &number))
        return nullptr;
    const Variant* variant = chosen(number, shape);
    if (!variant) return nullptr;
    if (row_count < 1 || levels.count < 1 || levels.cells < 1) {
        PyErr_SetString(PyExc_ValueError, "rows, levels and cells must be at least 1");
        return nullptr;
    }
    View from, known, places, sorted, table, to;
    const Py_ssize_t word = sizeof(std::int32_t);
    const Py_ssize_t bins = Py_ssize_t(row_count) * (levels.count + 1) * shape.count;
    if (!from.hold(maps, map_bytes(shape)) ||
        !known.hold(truth, Py_ssize_t(shape.height) * shape.width) ||
        !places.hold(rows, 256 * word) || !sorted.hold(marks, word * (levels.count + 1)) ||
        !table.hold(below, word * levels.cells) ||
        !to.hold(counts, Py_ssize_t(sizeof(std::int64_t)) * bins, PyBUF_WRITABLE))
        return nullptr;
    levels.marks = sorted.as<const float>();
    levels.below = table.as<const std::int32_t>();
    bool memory = true;
    Py_BEGIN_ALLOW_THREADS;
    try {
        variant->tally(from.as<const float>(), shape, levels, known.as<const std::uint8_t>(),
                       places.as<const std::int32_t>(), row_count, to.as<std::int64_t>());
    } catch (const std::bad_alloc&) {
        memory = false;
    }
    Py_END_ALLOW_THREADS;
    if (!memory) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject* call_variants(PyObject*, PyObject*) {
    PyObject* names = PyTuple_New(Py_ssize_t(variants().size()));
    for (std::size_t i = 0; names && i < variants().size(); ++i) {
        PyObject* name = PyUnicode_FromString(variants()[i].name);
        if (!name) Py_CLEAR(names);
        if (name) PyTuple_SET_ITEM(names, Py_ssize_t(i), name);
    }
    return names;
}

PyMethodDef methods[] = {
    {"enlarge", call_enlarge, METH_VARARGS,
     "enlarge(maps, full, (K, h, w), (H, W), variant)\n\nBilinear, float32, into full."},
    {"tally", call_tally, METH_VARARGS,
     "tally(maps, truth, rows, marks, below, counts, (K, h, w), (H, W), (rows, levels, cells), "
     "variant)\n\nCount pixels into int64 counts: row of the truth × levels beaten × best map."},
    {"variants", call_variants, METH_NOARGS, "What this machine runs: fused, apart."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_tally", nullptr, -1, methods,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__tally() { return PyModule_Create(&module); }
