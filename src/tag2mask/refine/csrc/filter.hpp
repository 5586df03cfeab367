// Pixels to vertices, along the axes, and back (Adams et al. 2010, section 3). Included once per
// variant, inside its namespace. `C` channels of a vertex lie side by side; a block of pixels is
// planar. `madd` is fused where the variant's machine fuses.

template <int D, int C>
TAG2MASK_INLINE void splat(const Lattice<D>& lattice, std::size_t block, const float (*values)[BLOCK],
                           float factor, float* TAG2MASK_RESTRICT vertices) {
  const std::int32_t* vertex = lattice.vertex.data() + block * (D + 1) * BLOCK;
  const float* weight = lattice.weight.data() + block * (D + 1) * BLOCK;
  float scaled[BLOCK][C];
  for (int c = 0; c < C; ++c) {
    for (int p = 0; p < BLOCK; ++p) scaled[p][c] = values[c][p] * factor;
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
                           const float* TAG2MASK_RESTRICT vertices, float (*values)[BLOCK]) {
  const std::int32_t* vertex = lattice.vertex.data() + block * (D + 1) * BLOCK;
  const float* weight = lattice.weight.data() + block * (D + 1) * BLOCK;
  if constexpr (C <= 2) {
    for (int j = 0; j <= D; ++j) {
      for (int c = 0; c < C; ++c) {
        for (int p = 0; p < BLOCK; ++p) {
          const float value = vertices[vertex[j * BLOCK + p] * C + c];
          values[c][p] = madd(weight[j * BLOCK + p], value, values[c][p]);
        }
      }
    }
  } else {
    float sum[BLOCK][C];
    for (int p = 0; p < BLOCK; ++p) {
      for (int c = 0; c < C; ++c) sum[p][c] = values[c][p];
      for (int j = 0; j <= D; ++j) {
        const float* at = vertices + std::size_t(vertex[j * BLOCK + p]) * C;
        const float share = weight[j * BLOCK + p];
        for (int c = 0; c < C; ++c) sum[p][c] = madd(share, at[c], sum[p][c]);
      }
    }
    for (int c = 0; c < C; ++c) {
      for (int p = 0; p < BLOCK; ++p) values[c][p] = sum[p][c];
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
