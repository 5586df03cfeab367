// What every variant of the engine shares: blocks of pixels, aligned memory, what is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

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

// Memory that starts on a cache line; zeros only where asked for.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(std::size_t count, bool zeros = false) : count_(count) {
    const std::size_t room = count * sizeof(T) + LINE;
    memory_.reset(zeros ? std::calloc(room, 1) : std::malloc(room));
    if (!memory_) throw std::bad_alloc();
    const auto start = reinterpret_cast<std::uintptr_t>(memory_.get());
    data_ = reinterpret_cast<T*>((start + LINE - 1) / LINE * LINE);
  }
  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  static constexpr std::size_t LINE = 64;
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
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
