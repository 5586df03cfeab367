// Pixels to vertices, along the axes, and back (Adams et al. 2010, section 3). Included once per
// variant, inside its namespace. `C` channels of a vertex lie side by side; a block of pixels is
// planar. `madd` is fused where the variant's machine fuses.

template <int D, int C>
TAG2MASK_INLINE void splat(const Lattice<D>& lattice, std::size_t block, const Floats* values,
                           float factor, float* TAG2MASK_RESTRICT vertices) {
  const std::int32_t* vertex = lattice.vertex.data() + block * (D + 1) * BLOCK;
  const float* weight = lattice.weight.data() + block * (D + 1) * BLOCK;
  float planar[C][BLOCK], scaled[BLOCK][C];
  for (int c = 0; c < C; ++c) store(values[c] * floats(factor), planar[c]);
  for (int p = 0; p < BLOCK; ++p) {
    for (int c = 0; c < C; ++c) scaled[p][c] = planar[c][p];
  }
  for (int p = 0; p < BLOCK; ++p) {
    const auto own = Side<C>::load(scaled[p]);
    for (int j = 0; j <= D; ++j) {
      float* at = vertices + std::size_t(vertex[j * BLOCK + p]) * C;
      const auto share = Side<C>::fill(weight[j * BLOCK + p]);
      Side<C>::store(at, Side<C>::madd(share, own, Side<C>::load(at)));
    }
  }
}

template <int D, int C>
TAG2MASK_INLINE void slice(const Lattice<D>& lattice, std::size_t block,
                           const float* TAG2MASK_RESTRICT vertices, Floats* values) {
  const std::int32_t* vertex = lattice.vertex.data() + block * (D + 1) * BLOCK;
  const float* weight = lattice.weight.data() + block * (D + 1) * BLOCK;
  float planar[C][BLOCK], sums[BLOCK][C];
  for (int c = 0; c < C; ++c) store(values[c], planar[c]);
  for (int p = 0; p < BLOCK; ++p) {
    for (int c = 0; c < C; ++c) sums[p][c] = planar[c][p];
  }
  for (int p = 0; p < BLOCK; ++p) {  // loads beat the machine's gather, even for one channel
    auto sum = Side<C>::load(sums[p]);
    for (int j = 0; j <= D; ++j) {
      const float* at = vertices + std::size_t(vertex[j * BLOCK + p]) * C;
      sum = Side<C>::madd(Side<C>::fill(weight[j * BLOCK + p]), Side<C>::load(at), sum);
    }
    Side<C>::store(sums[p], sum);
  }
  separate<C>(sums, values);
}

// ½ · previous + 1 · itself + ½ · next along every axis in turn; which of both buffers has it.
template <int D, int C>
float* blur(const Lattice<D>& lattice, float* from, float* to) {
  const std::size_t row = lattice.vertices + 1;
  for (int axis = 0; axis <= D; ++axis) {
    const std::int32_t* TAG2MASK_RESTRICT next = lattice.next.data() + axis * row;
    const std::int32_t* TAG2MASK_RESTRICT previous = lattice.previous.data() + axis * row;
    const float* TAG2MASK_RESTRICT old = from;
    float* TAG2MASK_RESTRICT blurred = to;
    const auto half = Side<C>::fill(0.5f);
    for (std::size_t i = 0; i < row; ++i) {
      const auto before = Side<C>::load(old + std::size_t(previous[i]) * C);
      const auto after = Side<C>::load(old + std::size_t(next[i]) * C);
      const auto itself = Side<C>::load(old + i * C);
      Side<C>::store(blurred + i * C, Side<C>::madd(half, after, Side<C>::madd(half, before, itself)));
    }
    std::swap(from, to);
  }
  return from;
}
