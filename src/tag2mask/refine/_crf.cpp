// The dense CRF for the processor: the engine in several variants, the one that the machine can run
// chosen while running, and the door from Python. All work is done without holding the GIL.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "csrc/blocks.hpp"

// Plain C++17, what every machine runs; GCC gets told about registers, others find out themselves.
#if defined(__GNUC__) && !defined(__clang__)
#define TAG2MASK_VECTORS
#endif

namespace tag2mask {
namespace plain {
#ifdef TAG2MASK_VECTORS
constexpr int LANES = 4;
#else
constexpr int LANES = 1;
#endif
#include "csrc/engine.hpp"
}  // namespace plain
}  // namespace tag2mask

#if defined(TAG2MASK_VECTORS) && defined(__x86_64__)
#define TAG2MASK_VARIANTS
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace tag2mask {
namespace avx2 {
constexpr int LANES = 8;
#define TAG2MASK_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#include "csrc/engine.hpp"
}  // namespace avx2
}  // namespace tag2mask
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")
namespace tag2mask {
namespace avx512 {
constexpr int LANES = 16;
#define TAG2MASK_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#include "csrc/engine.hpp"
}  // namespace avx512
}  // namespace tag2mask
#pragma GCC pop_options
#endif

namespace {

using tag2mask::Lattice;
using tag2mask::Problem;

struct Engine {
  const char* name;
  Lattice<2> (*make_gaussian)(const Problem&);
  void (*infer)(const Problem&, std::shared_ptr<const Lattice<2>>);
};

// The variants that this machine runs, best first.
std::vector<Engine> runnable() {
  std::vector<Engine> engines;
#ifdef TAG2MASK_VARIANTS
  const bool fused = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (fused && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    engines.push_back({"avx512", tag2mask::avx512::make_gaussian, tag2mask::avx512::infer});
  }
  if (fused) engines.push_back({"avx2", tag2mask::avx2::make_gaussian, tag2mask::avx2::infer});
#endif
  engines.push_back({"plain", tag2mask::plain::make_gaussian, tag2mask::plain::infer});
  return engines;
}

const std::vector<Engine>& engines() {
  static const std::vector<Engine> found = runnable();
  return found;
}

// Lattices of positions depend on nothing but the photograph's size: the last few are kept.
class GaussianCache {
 public:
  std::shared_ptr<const Lattice<2>> get(const Problem& problem, const Engine& engine) {
    const Key key{engine.name, problem.height, problem.width, problem.gaussian.sxy};
    if (auto known = find(key)) return known;
    auto made = std::make_shared<const Lattice<2>>(engine.make_gaussian(problem));
    if (made->bytes() <= MOST_BYTES / MOST_ENTRIES) keep(key, made);
    return made;
  }

 private:
  struct Key {
    const char* engine;
    std::size_t height, width;
    float sxy;
    bool operator==(const Key& other) const {
      return engine == other.engine && height == other.height && width == other.width &&
             sxy == other.sxy;
    }
  };
  using Entry = std::pair<Key, std::shared_ptr<const Lattice<2>>>;
  static constexpr std::size_t MOST_ENTRIES = 16, MOST_BYTES = std::size_t(1) << 28;

  std::shared_ptr<const Lattice<2>> find(const Key& key) {
    const std::lock_guard<std::mutex> guard(mutex_);
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      if (!(at->first == key)) continue;
      entries_.splice(entries_.begin(), entries_, at);
      return entries_.front().second;
    }
    return nullptr;
  }
  void keep(const Key& key, std::shared_ptr<const Lattice<2>> lattice) {
    const std::lock_guard<std::mutex> guard(mutex_);
    entries_.emplace_front(key, std::move(lattice));
    if (entries_.size() > MOST_ENTRIES) entries_.pop_back();
  }

  std::mutex mutex_;
  std::list<Entry> entries_;
};

void solve(const Problem& problem, const Engine& engine) {
  static GaussianCache cache;
  std::shared_ptr<const Lattice<2>> gaussian;
  if (problem.gaussian.present && problem.iterations > 0) gaussian = cache.get(problem, engine);
  engine.infer(problem, std::move(gaussian));
}

// A buffer of the caller, given back when it goes out of scope.
class View {
 public:
  ~View() {
    if (held_) PyBuffer_Release(&view_);
  }
  bool take(PyObject* object, int flags, std::size_t bytes) {
    if (PyObject_GetBuffer(object, &view_, PyBUF_C_CONTIGUOUS | flags) != 0) return false;
    held_ = true;
    if (std::size_t(view_.len) == bytes) return true;
    PyErr_Format(PyExc_ValueError, "a buffer of %zd bytes came, %zu were expected", view_.len, bytes);
    return false;
  }
  template <class T>
  T* as() const {
    return held_ ? static_cast<T*>(view_.buf) : nullptr;
  }

 private:
  Py_buffer view_{};
  bool held_ = false;
};

// mean_field(image, unary, compatibility | None, probabilities, (H, W, U, K), iterations,
//            (present, sxy, weight), (present, sxy, srgb, weight), variant = the best one)
PyObject* mean_field(PyObject*, PyObject* arguments) {
  PyObject *image, *unary, *compatibility, *probabilities;
  Py_ssize_t height, width, unaries, labels, iterations;
  int gaussian, bilateral;
  Py_ssize_t variant = 0;
  Problem problem{};
  if (!PyArg_ParseTuple(arguments, "OOOO(nnnn)n(pff)(pfff)|n", &image, &unary, &compatibility,
                        &probabilities, &height, &width, &unaries, &labels, &iterations, &gaussian,
                        &problem.gaussian.sxy, &problem.gaussian.weight, &bilateral,
                        &problem.bilateral.sxy, &problem.bilateral.srgb,
                        &problem.bilateral.weight, &variant)) {
    return nullptr;
  }
  if (variant < 0 || std::size_t(variant) >= engines().size()) {
    PyErr_SetString(PyExc_ValueError, "there is no such variant");
    return nullptr;
  }
  if (height < 1 || width < 1 || unaries < 1 || labels < 1 || iterations < 0) {
    PyErr_SetString(PyExc_ValueError, "sizes must be at least 1, iterations at least 0");
    return nullptr;
  }
  problem.height = std::size_t(height);
  problem.width = std::size_t(width);
  problem.unaries = std::size_t(unaries);
  problem.labels = std::size_t(labels);
  problem.iterations = std::size_t(iterations);
  problem.gaussian.present = gaussian;
  problem.gaussian.srgb = 1;
  problem.bilateral.present = bilateral;
  const std::size_t values = problem.unaries * problem.labels * problem.pixels() * sizeof(float);
  View image_view, unary_view, compatibility_view, probabilities_view;
  if (!image_view.take(image, 0, problem.pixels() * 3) || !unary_view.take(unary, 0, values) ||
      !probabilities_view.take(probabilities, PyBUF_WRITABLE, values)) {
    return nullptr;
  }
  if (compatibility != Py_None &&
      !compatibility_view.take(compatibility, 0, problem.labels * problem.labels * sizeof(float))) {
    return nullptr;
  }
  problem.image = image_view.as<const std::uint8_t>();
  problem.unary = unary_view.as<const float>();
  problem.compatibility = compatibility_view.as<const float>();
  problem.probabilities = probabilities_view.as<float>();

  bool memory = true;
  std::string refusal;
  Py_BEGIN_ALLOW_THREADS;
  try {
    solve(problem, engines()[std::size_t(variant)]);
  } catch (const std::bad_alloc&) {
    memory = false;
  } catch (const std::exception& error) {
    refusal = error.what();
  }
  Py_END_ALLOW_THREADS;
  if (!memory) return PyErr_NoMemory();
  if (!refusal.empty()) {
    PyErr_SetString(PyExc_ValueError, refusal.c_str());
    return nullptr;
  }
  Py_RETURN_NONE;
}

// Names of the variants that this machine runs, best first.
PyObject* variants(PyObject*, PyObject*) {
  PyObject* names = PyList_New(0);
  if (!names) return nullptr;
  for (const Engine& engine : engines()) {
    PyObject* name = PyUnicode_FromString(engine.name);
    const bool added = name && PyList_Append(names, name) == 0;
    Py_XDECREF(name);
    if (!added) {
      Py_DECREF(names);
      return nullptr;
    }
  }
  return names;
}

PyMethodDef METHODS[] = {
    {"mean_field", mean_field, METH_VARARGS, "Fill a buffer with the probabilities."},
    {"variants", variants, METH_NOARGS, "The variants that this machine runs, best first."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_crf", nullptr, 0, METHODS,
                      nullptr,               nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__crf() { return PyModule_Create(&MODULE); }
