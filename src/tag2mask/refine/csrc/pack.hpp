// One number for each pixel of a block, in as many registers as the variant's machine needs
// (`LANES` to a register). Included once per variant, inside its namespace.

constexpr int PARTS = BLOCK / LANES;

#if defined(TAG2MASK_VECTORS)
typedef float FloatPart __attribute__((vector_size(4 * LANES)));
typedef std::int32_t IntPart __attribute__((vector_size(4 * LANES)));
TAG2MASK_INLINE FloatPart to_float(const IntPart& x) {
  return __builtin_convertvector(x, FloatPart);
}
TAG2MASK_INLINE IntPart to_int(const FloatPart& x) { return __builtin_convertvector(x, IntPart); }
#else
using FloatPart = float;
using IntPart = std::int32_t;
TAG2MASK_INLINE FloatPart to_float(IntPart x) { return FloatPart(x); }
TAG2MASK_INLINE IntPart to_int(FloatPart x) { return IntPart(x); }
#endif

template <class Part>
struct Pack {
  Part part[PARTS];
};
using Floats = Pack<FloatPart>;
using Ints = Pack<IntPart>;

template <class Part, class Scalar>
TAG2MASK_INLINE Pack<Part> fill(Scalar value) {
  Pack<Part> pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = Part{} + value;
  return pack;
}
TAG2MASK_INLINE Floats floats(float value) { return fill<FloatPart>(value); }
TAG2MASK_INLINE Ints ints(std::uint32_t value) { return fill<IntPart>(std::int32_t(value)); }

template <class Part>
TAG2MASK_INLINE Pack<Part> operator+(const Pack<Part>& a, const Pack<Part>& b) {
  Pack<Part> pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = a.part[i] + b.part[i];
  return pack;
}
template <class Part>
TAG2MASK_INLINE Pack<Part> operator-(const Pack<Part>& a, const Pack<Part>& b) {
  Pack<Part> pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = a.part[i] - b.part[i];
  return pack;
}
template <class Part>
TAG2MASK_INLINE Pack<Part> operator*(const Pack<Part>& a, const Pack<Part>& b) {
  Pack<Part> pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = a.part[i] * b.part[i];
  return pack;
}
TAG2MASK_INLINE Floats operator/(const Floats& a, const Floats& b) {
  Floats pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = a.part[i] / b.part[i];
  return pack;
}
// a · b + c, fused where the machine fuses
TAG2MASK_INLINE Floats madd(const Floats& a, const Floats& b, const Floats& c) {
#if defined(TAG2MASK_FMA)
  Floats pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = TAG2MASK_FMA(a.part[i], b.part[i], c.part[i]);
  return pack;
#else
  return a * b + c;
#endif
}
// a < b ? x : y
template <class Part>
TAG2MASK_INLINE Pack<Part> where_less(const Floats& a, const Floats& b, const Pack<Part>& x,
                                      const Pack<Part>& y) {
  Pack<Part> pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = a.part[i] < b.part[i] ? x.part[i] : y.part[i];
  return pack;
}
// a == b ? x : y
template <class Part>
TAG2MASK_INLINE Pack<Part> where_equal(const Floats& a, const Floats& b, const Pack<Part>& x,
                                       const Pack<Part>& y) {
  Pack<Part> pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = a.part[i] == b.part[i] ? x.part[i] : y.part[i];
  return pack;
}
TAG2MASK_INLINE Floats largest(const Floats& a, const Floats& b) { return where_less(a, b, b, a); }

// To the nearest integer, halves to the even one; for values below 2²².
TAG2MASK_INLINE Floats rounded(const Floats& x) {
  const Floats magic = floats(12582912.0f);  // 1.5 · 2²³
  return (x + magic) - magic;
}
TAG2MASK_INLINE Ints to_ints(const Floats& x) {
  Ints pack;
  for (int i = 0; i < PARTS; ++i) pack.part[i] = to_int(x.part[i]);
  return pack;
}

TAG2MASK_INLINE Floats load(const float* from) {
  Floats pack;
  std::memcpy(&pack, from, sizeof pack);
  return pack;
}
TAG2MASK_INLINE void store(const Floats& pack, float* to) { std::memcpy(to, &pack, sizeof pack); }
TAG2MASK_INLINE void store(const Ints& pack, std::uint32_t* to) {
  std::memcpy(to, &pack, sizeof pack);
}

// eˣ for −87 ≤ x ≤ 0; smaller x count as −87. Relative error below 2e-7.
TAG2MASK_INLINE Floats exponential(const Floats& x) {
  const Floats bounded = largest(x, floats(-87.0f));
  const Floats n = rounded(bounded * floats(1.44269504088896341f));
  // ln 2 in two parts, the first exact in few bits
  const Floats r = madd(n, floats(2.12194440e-4f), madd(n, floats(-0.693359375f), bounded));
  Floats y = floats(1.0f / 720);
  y = madd(y, r, floats(1.0f / 120));
  y = madd(y, r, floats(1.0f / 24));
  y = madd(y, r, floats(1.0f / 6));
  y = madd(y, r, floats(0.5f));
  y = madd(y, r, floats(1.0f));
  y = madd(y, r, floats(1.0f));
  const Ints bits = (to_ints(n) + ints(127)) * ints(1u << 23);
  Floats power;
  std::memcpy(&power, &bits, sizeof power);
  return y * power;
}

// From channels side by side (pixel after pixel) to one pack per channel.
#if defined(TAG2MASK_VECTORS)
template <int FIRST>
TAG2MASK_INLINE FloatPart every_second(const FloatPart& low, const FloatPart& high) {
  IntPart order;
  for (int i = 0; i < LANES; ++i) order[i] = 2 * i + FIRST;
  return __builtin_shuffle(low, high, order);
}
template <int C>
TAG2MASK_INLINE void separate(const FloatPart* mixed, Floats* values, int stride) {
  if constexpr (C == 1) {
    for (int i = 0; i < PARTS; ++i) values->part[i] = mixed[i];
  } else {
    FloatPart even[C / 2 * PARTS], odd[C / 2 * PARTS];
    for (int i = 0; i < C / 2 * PARTS; ++i) {
      even[i] = every_second<0>(mixed[2 * i], mixed[2 * i + 1]);
      odd[i] = every_second<1>(mixed[2 * i], mixed[2 * i + 1]);
    }
    separate<C / 2>(even, values, 2 * stride);
    separate<C / 2>(odd, values + stride, 2 * stride);
  }
}
#endif
template <int C>
TAG2MASK_INLINE void separate(const float (&mixed)[BLOCK][C], Floats* values) {
#if defined(TAG2MASK_VECTORS)
  FloatPart parts[C * PARTS];
  std::memcpy(parts, mixed, sizeof parts);
  separate<C>(parts, values, 1);
#else
  for (int c = 0; c < C; ++c) {
    for (int p = 0; p < BLOCK; ++p) values[c].part[p] = mixed[p][c];
  }
#endif
}
