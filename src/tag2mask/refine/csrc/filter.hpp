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
    for (int j = 0; j <= D; ++j) {
      float* at = vertices + std::size_t(vertex[j * BLOCK + p]) * C;
      const float share = weight[j * BLOCK + p];
      for (int c = 0; c < C; ++c) at[c] = madd(share, scaled[p][c], at[c]);
    }
  }
}

template <int D, int C>
TAG2MASK_INLINE void slice(const Lattice<D>& lattice, std::size_t block,
                           const float* TAG2MASK_RESTRICT vertices, Floats* values) {
  const std::int32_t* vertex = lattice.vertex.data() + block * (D + 1) * BLOCK;
  const float* weight = lattice.weight.data() + block * (D + 1) * BLOCK;
  if constexpr (C <= 2) {
    for (int j = 0; j <= D; ++j) {
      const Floats share = load(weight + j * BLOCK);
      Floats corner[C];
      gather<C>(vertices, vertex + j * BLOCK, corner);
      for (int c = 0; c < C; ++c) values[c] = madd(share, corner[c], values[c]);
    }
  } else {
    float planar[C][BLOCK], sum[BLOCK][C];
    for (int c = 0; c < C; ++c) store(values[c], planar[c]);
    for (int p = 0; p < BLOCK; ++p) {
      for (int c = 0; c < C; ++c) sum[p][c] = planar[c][p];
      for (int j = 0; j <= D; ++j) {
        const float* at = vertices + std::size_t(vertex[j * BLOCK + p]) * C;
        const float share = weight[j * BLOCK + p];
        for (int c = 0; c < C; ++c) sum[p][c] = madd(share, at[c], sum[p][c]);
      }
    }
    for (int c = 0; c < C; ++c) {
      for (int p = 0; p < BLOCK; ++p) planar[c][p] = sum[p][c];
      values[c] = load(planar[c]);
    }
  }
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
    for (std::size_t i = 0; i < row; ++i) {
      for (int c = 0; c < C; ++c) {
        const float around = old[std::size_t(next[i]) * C + c] + old[std::size_t(previous[i]) * C + c];
        blurred[i * C + c] = madd(0.5f, around, old[i * C + c]);
      }
    }
    std::swap(from, to);
  }
  return from;
}
