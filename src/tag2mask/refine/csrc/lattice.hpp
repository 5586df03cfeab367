// The permutohedral lattice of a photograph (Adams, Baek, Davis: Fast High-Dimensional Filtering
// Using the Permutohedral Lattice, 2010). Included once per variant, inside its namespace.

// A vertex is D + 1 integers that sum to zero and leave the same remainder r by D + 1, so r and the
// D first quotients name it. They are packed in mixed radix into one number, in which a step along
// an axis is an addition. `Key` has 32 or 64 bits; 0 names no vertex.
template <int D, class Key>
struct Packing {
  Key stride[D + 1];  // of each quotient; the last one is implied, its stride is 0
  Key sum = 0;        // of all strides
  float low[D];       // smallest quotient

  Key step(Key key, int axis) const {  // one step along the axis
    return key + stride[axis] + (key % (D + 1) ? Key(-1) : Key(D) - sum);
  }
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
  double volume() const {
    double product = D + 1;
    for (int i = 0; i < D; ++i) product *= high[i] - low[i] + 1;
    return product;
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

  TAG2MASK_INLINE std::size_t slot(Key key) const {
    if (sizeof(Key) == 4) return std::uint32_t(std::uint32_t(key) * 2654435769u) >> shift_;
    return std::size_t((std::uint64_t(key) * 0x9E3779B97F4A7C15u) >> shift_);
  }
  TAG2MASK_INLINE void prefetch(std::size_t slot) const { TAG2MASK_PREFETCH(&slots_[slot]); }

  TAG2MASK_INLINE std::int32_t find(Key key, std::size_t slot) const {
    for (;; slot = (slot + 1) & mask_) {
      const Slot found = slots_[slot];
      if (found.key == key) return found.vertex;
      if (found.key == 0) return 0;
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
      std::size_t at = slot(keys_[vertex]);
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
    shift_ = 8 * sizeof(Key);
    for (std::size_t left = capacity; left > 1; left /= 2) --shift_;
  }

  Array<Slot> slots_;
  std::vector<Key> keys_;
  std::size_t mask_ = 0;
  unsigned shift_ = 0;
};

// The simplex around each pixel of one block: keys of its vertices and barycentric coordinates.
template <int D, class Key>
void locate(const float (&feature)[D][BLOCK], const float* scale, const Packing<D, Key>& packing,
            Key (&keys)[D + 1][BLOCK], float* TAG2MASK_RESTRICT weight) {
  constexpr float side = D + 1;
  constexpr float inverse = 1.0f / side;
  constexpr float rounder = 12582912.0f;  // 1.5 · 2²³: adding and taking it away rounds
  float offset[D + 1][BLOCK];             // from the closest point of remainder 0, in simplex sides
  float quotient[D + 1][BLOCK];
  float rank[D + 1][BLOCK];
  float total[BLOCK], sum[BLOCK];
  for (int p = 0; p < BLOCK; ++p) total[p] = sum[p] = 0;
  for (int i = D; i >= 0; --i) {
    for (int p = 0; p < BLOCK; ++p) {
      const float scaled = i > 0 ? feature[i > 0 ? i - 1 : 0][p] * scale[i > 0 ? i - 1 : 0] : 0.0f;
      const float elevated = sum[p] - float(i) * scaled;
      sum[p] += scaled;
      const float rounded = (elevated * inverse + rounder) - rounder;
      quotient[i][p] = rounded;
      offset[i][p] = elevated - rounded * side;
      rank[i][p] = 0;
      total[p] += rounded;
    }
  }
  for (int i = 0; i < D; ++i) {
    for (int j = i + 1; j <= D; ++j) {
      for (int p = 0; p < BLOCK; ++p) {
        const float before = offset[i][p] < offset[j][p] ? 1.0f : 0.0f;
        rank[i][p] += before;
        rank[j][p] += 1.0f - before;
      }
    }
  }
  // Rounding may leave the plane on which coordinates sum to zero: go back to it.
  for (int i = 0; i <= D; ++i) {
    for (int p = 0; p < BLOCK; ++p) {
      const float shifted = rank[i][p] + total[p];
      const float back = (shifted < 0 ? 1.0f : 0.0f) - (shifted >= side ? 1.0f : 0.0f);
      rank[i][p] = shifted + back * side;
      quotient[i][p] += back;
      offset[i][p] = (offset[i][p] - back * side) * inverse;
    }
  }
  float sorted[D + 1][BLOCK];
  Key jump[D + 1][BLOCK];  // stride of the coordinate of each rank
  for (int r = 0; r <= D; ++r) {
    for (int p = 0; p < BLOCK; ++p) {
      float value = 0;
      Key stride = 0;
      for (int i = 0; i <= D; ++i) {
        value = rank[i][p] == float(r) ? offset[i][p] : value;
        stride = rank[i][p] == float(r) ? packing.stride[i] : stride;
      }
      sorted[r][p] = value;
      jump[r][p] = stride;
    }
  }
  for (int p = 0; p < BLOCK; ++p) {
    Key key = 0;
    for (int i = 0; i < D; ++i) {
      key += Key(std::int32_t(quotient[i][p] - packing.low[i])) * packing.stride[i];
    }
    keys[0][p] = key;
    weight[p] = sorted[D][p] + (1.0f - sorted[0][p]);
  }
  for (int k = 1; k <= D; ++k) {
    for (int p = 0; p < BLOCK; ++p) {
      keys[k][p] = keys[k - 1][p] + 1 - jump[D - k + 1][p];
      weight[k * BLOCK + p] = sorted[D - k][p] - sorted[D - k + 1][p];
    }
  }
}

// Position, and colour if D is 5, in units of their standard deviations.
template <int D>
void features(const Problem& problem, const Kernel& kernel, const float* colour, std::size_t first,
              float (&feature)[D][BLOCK]) {
  for (int p = 0; p < BLOCK; ++p) {
    const std::size_t pixel = std::min(first + p, problem.pixels() - 1);
    const std::size_t row = pixel / problem.width;
    feature[0][p] = float(pixel - row * problem.width) / kernel.sxy;
    feature[1][p] = float(row) / kernel.sxy;
    for (int c = 2; c < D; ++c) feature[c][p] = colour[problem.image[3 * pixel + c - 2]];
  }
}

template <int D, class Key>
void find_neighbours(Lattice<D>& lattice, const Table<Key>& table, const Packing<D, Key>& packing) {
  const std::size_t row = lattice.vertices + 1;
  lattice.next = Array<std::int32_t>((D + 1) * row, true);
  lattice.previous = Array<std::int32_t>((D + 1) * row, true);
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
    for (int axis = 0; axis <= D; ++axis) {
      keys[turn][axis] = packing.step(table.key(vertex), axis);
      slots[turn][axis] = table.slot(keys[turn][axis]);
      table.prefetch(slots[turn][axis]);
    }
  }
  for (int axis = 0; axis <= D; ++axis) lattice.previous[axis * row] = 0;
}

// Barycentric weights × 1 / sqrt(filtered ones), and the scale that makes the blur's sum one.
template <int D>
void normalise(Lattice<D>& lattice) {
  const float alpha = 1.0f / (1.0f + std::ldexp(1.0f, -D));
  Array<float> first(lattice.vertices + 1, true), second(lattice.vertices + 1, true);
  const std::size_t count = blocks(lattice.pixels);
  for (std::size_t b = 0; b < count; ++b) {
    float ones[1][BLOCK];
    for (int p = 0; p < BLOCK; ++p) ones[0][p] = b * BLOCK + p < lattice.pixels ? 1.0f : 0.0f;
    splat<D, 1>(lattice, b, ones, 1.0f, first.data());
  }
  const float* blurred = blur<D, 1>(lattice, first.data(), second.data());
  const float root = std::sqrt(alpha);
  for (std::size_t b = 0; b < count; ++b) {
    float sum[1][BLOCK] = {};
    slice<D, 1>(lattice, b, blurred, sum);
    float* weight = lattice.weight.data() + b * (D + 1) * BLOCK;
    for (int p = 0; p < BLOCK; ++p) sum[0][p] = root / std::sqrt(sum[0][p] * alpha + 1e-20f);
    for (int j = 0; j <= D; ++j) {
      for (int p = 0; p < BLOCK; ++p) {
        weight[j * BLOCK + p] *= b * BLOCK + p < lattice.pixels ? sum[0][p] : 0.0f;
      }
    }
  }
}

template <int D, class Key>
Lattice<D> build(const Problem& problem, const Kernel& kernel, const float* scale,
                 const Span<D>& span) {
  Packing<D, Key> packing;
  Key stride = D + 1;
  for (int i = 0; i < D; ++i) {
    packing.stride[i] = stride;
    packing.sum += stride;
    packing.low[i] = float(span.low[i]);
    stride *= Key(span.high[i] - span.low[i] + 1);
  }
  packing.stride[D] = 0;
  float colour[256];
  for (int value = 0; value < 256; ++value) colour[value] = float(value) / kernel.srgb;

  Lattice<D> lattice;
  lattice.pixels = problem.pixels();
  const std::size_t count = blocks(lattice.pixels), size = (D + 1) * BLOCK;
  lattice.vertex = Array<std::int32_t>(count * size);
  lattice.weight = Array<float>(count * size);
  Table<Key> table(lattice.pixels / 2);
  Key keys[2][D + 1][BLOCK];
  float feature[D][BLOCK];
  for (std::size_t b = 0; b <= count; ++b) {
    if (b < count) {
      features<D>(problem, kernel, colour, b * BLOCK, feature);
      locate<D, Key>(feature, scale, packing, keys[b % 2], lattice.weight.data() + b * size);
      for (const auto& row : keys[b % 2]) {
        for (const Key key : row) table.prefetch(table.slot(key));
      }
    }
    if (b == 0) continue;
    if (table.full(size)) table.grow();
    std::int32_t* vertex = lattice.vertex.data() + (b - 1) * size;
    for (int p = 0; p < BLOCK; ++p) {
      for (int k = 0; k <= D; ++k) {
        const Key key = keys[(b - 1) % 2][k][p];
        vertex[k * BLOCK + p] = table.find_or_insert(key, table.slot(key));
      }
    }
  }
  lattice.vertices = table.size();
  find_neighbours<D, Key>(lattice, table, packing);
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
  if (span.volume() < 4294967295.0) {
    return build<D, std::uint32_t>(problem, kernel, scale, span);
  }
  if (span.volume() < 9e18 && most[0] + most[1] + (D > 2 ? 3 * most[D - 1] : 0) < 1e6) {
    return build<D, std::uint64_t>(problem, kernel, scale, span);
  }
  throw std::invalid_argument("standard deviations are too small for a photograph of this size");
}
