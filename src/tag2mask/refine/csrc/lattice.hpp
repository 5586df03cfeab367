// The permutohedral lattice of a photograph (Adams, Baek, Davis: Fast High-Dimensional Filtering
// Using the Permutohedral Lattice, 2010). Included once per variant, inside its namespace.

// A vertex is D + 1 integers that sum to zero and leave the same remainder r by D + 1, so r and the
// D first quotients name it. They are packed in mixed radix into one or two words of 32 bits, r in
// the first; a step along an axis adds to the words. No vertex has a key of 0.
template <int D, int WORDS>
struct Packing {
  std::uint32_t stride[WORDS][D + 1];  // of each quotient; the last one is implied, its stride is 0
  std::uint32_t sum[WORDS];            // of all strides
  float low[D];                        // smallest quotient
};

// Smallest and largest quotient of each elevated coordinate, two steps of margin included.
template <int D>
struct Span {
  double low[D], high[D];

  explicit Span(const double* most, const float* scale) {
    for (int i = 0; i < D; ++i) {
      double least = 0, largest = 0;
      if (i > 0) least = -double(i) * most[i - 1] * scale[i - 1];
      for (int k = i; k < D; ++k) largest += most[k] * scale[k];
      low[i] = std::floor(least / (D + 1)) - 4;
      high[i] = std::ceil(largest / (D + 1)) + 3;
    }
  }
  double count(int i) const { return high[i] - low[i] + 1; }

  // Fills words greedily; false if they do not suffice.
  template <int WORDS>
  bool pack(Packing<D, WORDS>& packing) const {
    int word = 0;
    double room = D + 1;
    packing = {};
    for (int i = 0; i < D; ++i) {
      if (room * count(i) > 4294967295.0) {
        ++word;
        room = 1;
      }
      if (word == WORDS || count(i) > 4194304.0) return false;
      packing.low[i] = float(low[i]);
      packing.stride[word][i] = std::uint32_t(room);
      packing.sum[word] += std::uint32_t(room);
      room *= count(i);
    }
    return true;
  }
};

// Columns of the elevation matrix E, scaled to a unit of one standard deviation (p. 5 f.).
template <int D>
void elevation_scale(float* scale) {
  const float deviation = float(std::sqrt(2.0 / 3.0) * (D + 1));
  for (int i = 0; i < D; ++i) {
    scale[i] = float(1.0 / std::sqrt(double(i + 2) * (i + 1)) * deviation);
  }
}

// Odd numbers near 2³² / golden ratio, one per word.
constexpr std::uint32_t MULTIPLIER[2] = {2654435769u, 2246822519u};

TAG2MASK_INLINE std::uint32_t hash(std::uint32_t key) { return key * MULTIPLIER[0]; }
TAG2MASK_INLINE std::uint32_t hash(std::uint64_t key) {
  return std::uint32_t(key) * MULTIPLIER[0] + std::uint32_t(key >> 32) * MULTIPLIER[1];
}

// Open addressing; a slot holds a key and its vertex. Keys are found again by their number.
template <class Key>
class Table {
 public:
  struct Slot {
    Key key;
    std::int32_t vertex;
  };

  explicit Table(std::size_t expected) {
    std::size_t capacity = 1024;
    while (capacity < expected) capacity *= 2;
    resize(capacity);
    keys_.push_back(0);
  }
  std::size_t size() const { return keys_.size() - 1; }
  Key key(std::size_t vertex) const { return keys_[vertex]; }

  // Where to look for a key first: the upper bits of its hash.
  TAG2MASK_INLINE std::uint32_t slot(std::uint32_t hash) const { return hash >> shift_; }
  TAG2MASK_INLINE void prefetch(std::size_t slot) const { TAG2MASK_PREFETCH(&slots_[slot]); }

  TAG2MASK_INLINE std::int32_t find(Key key, std::size_t slot) const {
    for (;; slot = (slot + 1) & mask_) {  // one branch that is mostly not taken, hit or miss
      const Slot found = slots_[slot];
      const std::int32_t vertex = found.key == key ? found.vertex : 0;
      if ((vertex != 0) | (found.key == 0)) return vertex;
    }
  }
  TAG2MASK_INLINE std::int32_t find_or_insert(Key key, std::size_t slot) {
    for (;; slot = (slot + 1) & mask_) {
      const Slot found = slots_[slot];
      if (found.key == key) return found.vertex;
      if (found.key == 0) return insert(key, slot);
    }
  }
  bool full(std::size_t more) const { return 2 * (keys_.size() + more) > mask_; }
  void grow() {
    resize(2 * (mask_ + 1));
    for (std::size_t vertex = 1; vertex < keys_.size(); ++vertex) {
      std::size_t at = slot(hash(keys_[vertex]));
      while (slots_[at].key != 0) at = (at + 1) & mask_;
      slots_[at] = {keys_[vertex], std::int32_t(vertex)};
    }
  }

 private:
  std::int32_t insert(Key key, std::size_t slot) {
    const auto vertex = std::int32_t(keys_.size());
    keys_.push_back(key);
    slots_[slot] = {key, vertex};
    return vertex;
  }
  void resize(std::size_t capacity) {
    slots_ = Array<Slot>(capacity, true);
    mask_ = capacity - 1;
    shift_ = 32;
    for (std::size_t left = capacity; left > 1; left /= 2) --shift_;
  }

  Array<Slot> slots_;
  std::vector<Key> keys_;
  std::size_t mask_ = 0;
  unsigned shift_ = 0;
};

template <int WORDS>
using KeyOf = std::conditional_t<WORDS == 1, std::uint32_t, std::uint64_t>;

template <int WORDS>
using Words = std::uint32_t[WORDS][BLOCK];

template <int WORDS>
TAG2MASK_INLINE KeyOf<WORDS> join(const Words<WORDS>& words, int p) {
  KeyOf<WORDS> key = words[0][p];
  if constexpr (WORDS == 2) key |= KeyOf<WORDS>(words[1][p]) << 32;
  return key;
}

// The simplex around each pixel of one block: keys of its vertices and barycentric coordinates.
template <int D, int WORDS>
TAG2MASK_INLINE void locate(const float (&feature)[D][BLOCK], const float* scale,
                            const Packing<D, WORDS>& packing, Words<WORDS> (&keys)[D + 1],
                            float* TAG2MASK_RESTRICT weight) {
  const Floats zero = floats(0), one = floats(1), side = floats(D + 1);
  const Floats inverse = floats(1.0f / (D + 1));
  Floats quotient[D + 1], rank[D + 1];
  Floats offset[D + 1];  // from the closest point of remainder 0
  Floats sum = zero, total = zero;
  for (int i = D; i >= 0; --i) {
    const Floats scaled = i > 0 ? load(feature[i - 1]) * floats(scale[i - 1]) : zero;
    const Floats elevated = sum - floats(float(i)) * scaled;
    sum = sum + scaled;
    quotient[i] = rounded(elevated * inverse);
    offset[i] = elevated - quotient[i] * side;
    total = total + quotient[i];
    rank[i] = zero;
  }
  for (int i = 0; i < D; ++i) {
    for (int j = i + 1; j <= D; ++j) {
      const Floats before = where_less(offset[i], offset[j], one, zero);
      rank[i] = rank[i] + before;
      rank[j] = rank[j] + (one - before);
    }
  }
  // Rounding may leave the plane on which coordinates sum to zero: go back to it.
  for (int i = 0; i <= D; ++i) {
    const Floats shifted = rank[i] + total;
    const Floats back = where_less(shifted, zero, one, where_less(shifted, side, zero, zero - one));
    rank[i] = shifted + back * side;
    quotient[i] = quotient[i] + back;
    offset[i] = (offset[i] - back * side) * inverse;
  }
  Floats sorted[D + 1];
  for (int r = 0; r <= D; ++r) {
    sorted[r] = offset[0];
    for (int i = 1; i <= D; ++i) {
      sorted[r] = where_equal(rank[i], floats(float(r)), offset[i], sorted[r]);
    }
  }
  store(sorted[D] + (one - sorted[0]), weight);
  for (int k = 1; k <= D; ++k) store(sorted[D - k] - sorted[D - k + 1], weight + k * BLOCK);
  for (int word = 0; word < WORDS; ++word) {
    Ints key = ints(0);
    for (int i = 0; i < D; ++i) {
      key = key + to_ints(quotient[i] - floats(packing.low[i])) * ints(packing.stride[word][i]);
    }
    store(key, keys[0][word]);
    for (int k = 1; k <= D; ++k) {  // the coordinate whose rank comes next steps back
      Ints step = ints(packing.stride[word][0]);
      for (int i = 1; i <= D; ++i) {
        step = where_equal(rank[i], floats(float(D - k + 1)), ints(packing.stride[word][i]), step);
      }
      key = key - step + ints(word == 0 ? 1 : 0);
      store(key, keys[k][word]);
    }
  }
}

// Position, and colour if D is 5, in units of their standard deviations, block after block.
template <int D>
class Features {
 public:
  Features(const Problem& problem, const Kernel& kernel)
      : problem_(problem), across_(problem.width), down_(problem.height) {
    for (std::size_t x = 0; x < problem.width; ++x) across_[x] = float(x) / kernel.sxy;
    for (std::size_t y = 0; y < problem.height; ++y) down_[y] = float(y) / kernel.sxy;
    for (int value = 0; value < 256; ++value) colour_[value] = float(value) / kernel.srgb;
  }
  TAG2MASK_INLINE void next(float (&feature)[D][BLOCK]) {
    for (int p = 0; p < BLOCK; ++p) {
      feature[0][p] = across_[x_];
      feature[1][p] = down_[y_];
      const std::uint8_t* colours = problem_.image + 3 * pixel_;
      for (int c = 2; c < D; ++c) feature[c][p] = colour_[colours[c - 2]];
      if (pixel_ + 1 == problem_.pixels()) continue;  // the last pixel fills its block
      ++pixel_;
      if (++x_ == problem_.width) {
        x_ = 0;
        ++y_;
      }
    }
  }

 private:
  const Problem& problem_;
  Array<float> across_, down_;
  float colour_[256];
  std::size_t x_ = 0, y_ = 0, pixel_ = 0;
};

template <int D, int WORDS>
TAG2MASK_INLINE KeyOf<WORDS> step_back(const Packing<D, WORDS>& packing, KeyOf<WORDS> key) {
  // One less in every coordinate: in the remainder, or below 0 in every quotient.
  const auto first = std::uint32_t(key);
  const bool within = first % (D + 1) != 0;
  KeyOf<WORDS> moved = within ? first - 1 : first + D - packing.sum[0];
  if constexpr (WORDS == 2) {
    const auto second = std::uint32_t(key >> 32);
    moved = std::uint32_t(moved) | KeyOf<WORDS>(within ? second : second - packing.sum[1]) << 32;
  }
  return moved;
}

template <int D, int WORDS>
void find_neighbours(Lattice<D>& lattice, const Table<KeyOf<WORDS>>& table,
                     const Packing<D, WORDS>& packing) {
  using Key = KeyOf<WORDS>;
  const std::size_t row = lattice.vertices + 1;
  lattice.next = Array<std::int32_t>((D + 1) * row, true);
  lattice.previous = Array<std::int32_t>((D + 1) * row, true);
  Key stride[D + 1];
  for (int axis = 0; axis <= D; ++axis) {
    stride[axis] = packing.stride[0][axis];
    if constexpr (WORDS == 2) stride[axis] |= Key(packing.stride[1][axis]) << 32;
  }
  constexpr std::size_t ahead = 8;
  Key keys[ahead][D + 1];
  std::size_t slots[ahead][D + 1];
  for (std::size_t vertex = 1; vertex < row + ahead; ++vertex) {
    const std::size_t turn = vertex % ahead;
    if (vertex > ahead) {
      const std::size_t due = vertex - ahead;
      for (int axis = 0; axis <= D; ++axis) {
        const std::int32_t found = table.find(keys[turn][axis], slots[turn][axis]);
        lattice.next[axis * row + due] = found;
        lattice.previous[axis * row + found] = std::int32_t(due);
      }
    }
    if (vertex >= row) continue;
    const Key back = step_back<D, WORDS>(packing, table.key(vertex));
    for (int axis = 0; axis <= D; ++axis) {
      keys[turn][axis] = back + stride[axis];
      slots[turn][axis] = table.slot(hash(keys[turn][axis]));
      table.prefetch(slots[turn][axis]);
    }
  }
  for (int axis = 0; axis <= D; ++axis) lattice.previous[axis * row] = 0;
}

// Barycentric weights × 1 / sqrt(filtered ones), and the scale that makes the blur's sum one.
template <int D>
void normalise(Lattice<D>& lattice) {
  const float alpha = 1.0f / (1.0f + std::ldexp(1.0f, -D));
  const std::size_t count = blocks(lattice.pixels), padded = count * BLOCK - lattice.pixels;
  for (int j = 0; j <= D; ++j) {  // what fills the last block weighs nothing
    float* end = lattice.weight.data() + (count - 1) * (D + 1) * BLOCK + (j + 1) * BLOCK;
    std::fill(end - padded, end, 0.0f);
  }
  Array<float> first(lattice.vertices + 1, true), second(lattice.vertices + 1, true);
  const Floats ones = floats(1);
  for (std::size_t b = 0; b < count; ++b) splat<D, 1>(lattice, b, &ones, 1.0f, first.data());
  const float* blurred = blur<D, 1>(lattice, first.data(), second.data());
  const float root = std::sqrt(alpha);
  for (std::size_t b = 0; b < count; ++b) {
    Floats sum = floats(0);
    slice<D, 1>(lattice, b, blurred, &sum);
    float norm[BLOCK];
    store(sum, norm);
    for (float& value : norm) value = root / std::sqrt(value * alpha + 1e-20f);
    float* weight = lattice.weight.data() + b * (D + 1) * BLOCK;
    for (int j = 0; j <= D; ++j) {
      store(load(weight + j * BLOCK) * load(norm), weight + j * BLOCK);
    }
  }
}

template <int D, int WORDS>
Lattice<D> build(const Problem& problem, const Kernel& kernel, const float* scale,
                 const Packing<D, WORDS>& packing) {
  Lattice<D> lattice;
  lattice.pixels = problem.pixels();
  const std::size_t count = blocks(lattice.pixels), size = (D + 1) * BLOCK;
  lattice.vertex = Array<std::int32_t>(count * size);
  lattice.weight = Array<float>(count * size);
  Table<KeyOf<WORDS>> table(2 * lattice.pixels);  // sparse: collisions cost more than memory
  Features<D> features(problem, kernel);
  Words<WORDS> keys[2][D + 1];  // of one block while its slots come into the cache, and the next
  float feature[D][BLOCK];
  for (std::size_t b = 0; b <= count; ++b) {
    if (b < count) {
      features.next(feature);
      locate<D, WORDS>(feature, scale, packing, keys[b % 2], lattice.weight.data() + b * size);
      for (const auto& words : keys[b % 2]) {
        for (int p = 0; p < BLOCK; ++p) table.prefetch(table.slot(hash(join<WORDS>(words, p))));
      }
    }
    if (b == 0) continue;
    if (table.full(size)) table.grow();
    std::int32_t* vertex = lattice.vertex.data() + (b - 1) * size;
    for (int k = 0; k <= D; ++k) {
      for (int p = 0; p < BLOCK; ++p) {
        const auto key = join<WORDS>(keys[(b - 1) % 2][k], p);
        vertex[k * BLOCK + p] = table.find_or_insert(key, table.slot(hash(key)));
      }
    }
  }
  lattice.vertices = table.size();
  find_neighbours<D, WORDS>(lattice, table, packing);
  normalise<D>(lattice);
  return lattice;
}

template <int D>
Lattice<D> make_lattice(const Problem& problem, const Kernel& kernel) {
  float scale[D];
  elevation_scale<D>(scale);
  double most[D];
  most[0] = double(problem.width - 1) / kernel.sxy;
  most[1] = double(problem.height - 1) / kernel.sxy;
  for (int c = 2; c < D; ++c) most[c] = 255.0 / kernel.srgb;
  const Span<D> span(most, scale);
  Packing<D, 1> small;
  if (span.template pack<1>(small)) return build<D, 1>(problem, kernel, scale, small);
  Packing<D, 2> large;
  if (span.template pack<2>(large)) return build<D, 2>(problem, kernel, scale, large);
  throw std::invalid_argument("standard deviations are too small for a photograph of this size");
}
