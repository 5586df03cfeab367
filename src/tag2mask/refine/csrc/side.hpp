// The C channels of one vertex, side by side in memory and in a register. Included once per
// variant, inside its namespace.

#if defined(TAG2MASK_FMA)

template <int C>
struct Side;

template <>
struct Side<1> {
  using Register = float;
  static TAG2MASK_INLINE Register fill(float value) { return value; }
  static TAG2MASK_INLINE Register load(const float* from) { return *from; }
  static TAG2MASK_INLINE void store(float* to, Register value) { *to = value; }
  static TAG2MASK_INLINE Register madd(Register a, Register b, Register c) {
    return __builtin_fmaf(a, b, c);
  }
};

template <>
struct Side<2> {
  using Register = __m128;
  static TAG2MASK_INLINE Register fill(float value) { return _mm_set1_ps(value); }
  static TAG2MASK_INLINE Register load(const float* from) {
    return _mm_loadl_pi(_mm_setzero_ps(), reinterpret_cast<const __m64*>(from));
  }
  static TAG2MASK_INLINE void store(float* to, Register value) {
    _mm_storel_pi(reinterpret_cast<__m64*>(to), value);
  }
  static TAG2MASK_INLINE Register madd(Register a, Register b, Register c) {
    return _mm_fmadd_ps(a, b, c);
  }
};

template <>
struct Side<4> {
  using Register = __m128;
  static TAG2MASK_INLINE Register fill(float value) { return _mm_set1_ps(value); }
  static TAG2MASK_INLINE Register load(const float* from) { return _mm_loadu_ps(from); }
  static TAG2MASK_INLINE void store(float* to, Register value) { _mm_storeu_ps(to, value); }
  static TAG2MASK_INLINE Register madd(Register a, Register b, Register c) {
    return _mm_fmadd_ps(a, b, c);
  }
};

template <>
struct Side<8> {
  using Register = __m256;
  static TAG2MASK_INLINE Register fill(float value) { return _mm256_set1_ps(value); }
  static TAG2MASK_INLINE Register load(const float* from) { return _mm256_loadu_ps(from); }
  static TAG2MASK_INLINE void store(float* to, Register value) { _mm256_storeu_ps(to, value); }
  static TAG2MASK_INLINE Register madd(Register a, Register b, Register c) {
    return _mm256_fmadd_ps(a, b, c);
  }
};

#else

template <int C>
struct Side {
  struct Register {
    float channel[C];
  };
  static TAG2MASK_INLINE Register fill(float value) {
    Register filled;
    for (float& channel : filled.channel) channel = value;
    return filled;
  }
  static TAG2MASK_INLINE Register load(const float* from) {
    Register loaded;
    std::memcpy(&loaded, from, sizeof loaded);
    return loaded;
  }
  static TAG2MASK_INLINE void store(float* to, const Register& value) {
    std::memcpy(to, &value, sizeof value);
  }
  static TAG2MASK_INLINE Register madd(const Register& a, const Register& b, const Register& c) {
    Register sum;
    for (int i = 0; i < C; ++i) sum.channel[i] = a.channel[i] * b.channel[i] + c.channel[i];
    return sum;
  }
};

#endif
