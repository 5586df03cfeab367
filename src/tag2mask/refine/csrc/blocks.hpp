// What every variant of the engine shares: blocks of pixels, aligned memory, what is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
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

// Large pieces of memory, in large pages where the system has them, kept for the next photograph:
// touching fresh memory for the first time costs as much as two iterations. Safe for threads.
class Store {
 public:
  static constexpr std::size_t PAGE = std::size_t(1) << 21;

  static Store& get() {
    static Store* store = new Store;  // outlives whatever gives memory back at exit
    return *store;
  }
  void* take(std::size_t bytes) {
    {
      const std::lock_guard<std::mutex> guard(mutex_);
      for (std::size_t i = kept_.size(); i-- > 0;) {
        if (kept_[i].bytes != bytes) continue;
        void* found = kept_[i].memory;
        kept_.erase(kept_.begin() + std::ptrdiff_t(i));
        total_ -= bytes;
        return found;
      }
    }
    return fresh(bytes);
  }
  void give(void* memory, std::size_t bytes) noexcept {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (bytes > MOST) return release(memory);
    while (total_ + bytes > MOST || kept_.size() == kept_.capacity()) {
      total_ -= kept_.front().bytes;
      release(kept_.front().memory);
      kept_.erase(kept_.begin());
    }
    kept_.push_back({memory, bytes});
    total_ += bytes;
  }

 private:
  static constexpr std::size_t MOST = std::size_t(1) << 26, ENTRIES = 32;
  struct Piece {
    void* memory;
    std::size_t bytes;
  };

  Store() { kept_.reserve(ENTRIES); }
#if defined(__linux__)
  static void* fresh(std::size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, PAGE, bytes) != 0) throw std::bad_alloc();
    madvise(memory, bytes, MADV_HUGEPAGE);  // a wish; without it the pages are small
    return memory;
  }
#else
  static void* fresh(std::size_t bytes) {
    void* memory = std::malloc(bytes);
    if (!memory) throw std::bad_alloc();
    return memory;
  }
#endif
  static void release(void* memory) { std::free(memory); }

  std::mutex mutex_;
  std::vector<Piece> kept_;
  std::size_t total_ = 0;
};

// Memory that starts on a cache line; zeros only where asked for.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(std::size_t count, bool zeros = false) : count_(count) {
    const std::size_t bytes = count * sizeof(T) + LINE;
    if (bytes >= Store::PAGE / 4) {
      stored_ = (bytes + Store::PAGE - 1) / Store::PAGE * Store::PAGE;
      memory_ = Store::get().take(stored_);
    } else {
      memory_ = std::malloc(bytes);
      if (!memory_) throw std::bad_alloc();
    }
    const auto start = reinterpret_cast<std::uintptr_t>(memory_);
    data_ = reinterpret_cast<T*>((start + LINE - 1) / LINE * LINE);
    if (zeros) std::memset(static_cast<void*>(data_), 0, count * sizeof(T));
  }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Array() {
    if (stored_) {
      Store::get().give(memory_, stored_);
    } else {
      std::free(memory_);
    }
  }
  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  static constexpr std::size_t LINE = 64;

  void swap(Array& other) {
    std::swap(memory_, other.memory_);
    std::swap(stored_, other.stored_);
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }

  void* memory_ = nullptr;
  std::size_t stored_ = 0;  // bytes, if they are the store's
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
