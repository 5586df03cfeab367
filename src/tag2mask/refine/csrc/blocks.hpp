// What every variant of the engine shares: blocks of pixels, aligned memory, what is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#if defined(MADV_HUGEPAGE)
#define TAG2MASK_LARGE_PAGES
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define TAG2MASK_PREFETCH(address) __builtin_prefetch(address)
#define TAG2MASK_RESTRICT __restrict__
#define TAG2MASK_INLINE inline __attribute__((always_inline))
#else
#define TAG2MASK_PREFETCH(address) ((void)(address))
#define TAG2MASK_RESTRICT __restrict
#define TAG2MASK_INLINE inline
#endif

namespace tag2mask {

// Pixels travel in blocks: loops over one block have a fixed length, so that compilers vectorise.
constexpr int BLOCK = 16;

inline std::size_t blocks(std::size_t pixels) { return (pixels + BLOCK - 1) / BLOCK; }

// Memory that starts on a cache line; zeros only where asked for. What is large asks the system for
// large pages, which saves most of the time that first touching it takes.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(std::size_t count, bool zeros = false) : count_(count) {
    const std::size_t bytes = count * sizeof(T);
#if defined(TAG2MASK_LARGE_PAGES)
    if (bytes >= LARGE) {
      mapped_ = bytes + LARGE;
      memory_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory_ == MAP_FAILED) throw std::bad_alloc();
      place(LARGE);
      madvise(data_, bytes, MADV_HUGEPAGE);  // a wish; without it the pages are small
      return;
    }
#endif
    memory_ = zeros ? std::calloc(bytes + LINE, 1) : std::malloc(bytes + LINE);
    if (!memory_) throw std::bad_alloc();
    place(LINE);
  }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Array() {
#if defined(TAG2MASK_LARGE_PAGES)
    if (mapped_) {
      munmap(memory_, mapped_);
      return;
    }
#endif
    std::free(memory_);
  }
  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  static constexpr std::size_t LINE = 64, LARGE = std::size_t(1) << 21;

  void place(std::size_t alignment) {
    const auto start = reinterpret_cast<std::uintptr_t>(memory_);
    data_ = reinterpret_cast<T*>((start + alignment - 1) / alignment * alignment);
  }
  void swap(Array& other) {
    std::swap(memory_, other.memory_);
    std::swap(mapped_, other.mapped_);
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }

  void* memory_ = nullptr;
  std::size_t mapped_ = 0;  // bytes, if it came from the system and not from the allocator
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

// Pixels as a sparse matrix over the vertices of a lattice in D dimensions, and its blur.
// Vertices are numbered from 1; number 0 stands for absent ones and always holds zero.
template <int D>
struct Lattice {
  std::size_t pixels = 0;
  std::size_t vertices = 0;
  Array<std::int32_t> vertex;  // [block][D + 1][BLOCK]
  Array<float> weight;         // the same, barycentric × symmetric normalisation
  Array<std::int32_t> next;    // [D + 1][vertices + 1], along each axis
  Array<std::int32_t> previous;

  std::size_t bytes() const {
    return 8 * (vertex.size() + next.size());
  }
};

struct Kernel {
  bool present;
  float sxy, srgb, weight;
};

// One photograph, its unaries (unaries × labels × pixels) and where the probabilities go.
struct Problem {
  const std::uint8_t* image;
  const float* unary;
  const float* compatibility;  // labels × labels, null for Potts
  float* probabilities;
  std::size_t height, width, unaries, labels, iterations;
  Kernel gaussian, bilateral;

  std::size_t pixels() const { return height * width; }
};

}  // namespace tag2mask
