// Mean-field inference in a fully connected CRF (Krähenbühl, Koltun: Efficient Inference in Fully
// Connected CRFs with Gaussian Edge Potentials, 2011). Included once per variant, inside its
// namespace.
//
// With Potts compatibility only differences of messages matter, and the filters are linear: what
// is filtered is the probability of each label minus that of the first one, labels − 1 channels.

// eˣ for x ≤ 0, relative error below 2e-7; what would be denormal is zero or tiny.
TAG2MASK_INLINE void exponential(float (&x)[BLOCK]) {
  std::int32_t bits[BLOCK];
  float power[BLOCK];
  for (int p = 0; p < BLOCK; ++p) {
    const float bounded = x[p] > -87.0f ? x[p] : -87.0f;
    constexpr float rounder = 12582912.0f;
    const float n = (bounded * 1.44269504088896341f + rounder) - rounder;
    const float r = madd(n, 2.12194440e-4f, madd(n, -0.693359375f, bounded));
    float y = 1.9875691500e-4f;
    y = madd(y, r, 1.3981999507e-3f);
    y = madd(y, r, 8.3334519073e-3f);
    y = madd(y, r, 4.1665795894e-2f);
    y = madd(y, r, 1.6666665459e-1f);
    y = madd(y, r, 5.0000001201e-1f);
    x[p] = madd(y * r, r, r) + 1.0f;
    bits[p] = (std::int32_t(n) + 127) * (1 << 23);
  }
  std::memcpy(power, bits, sizeof power);
  for (int p = 0; p < BLOCK; ++p) x[p] *= power[p];
}

// The lattice of one kernel with the messages of all channels, in groups of 8, 4, 2 and 1.
template <int D>
class Messages {
 public:
  Messages(std::shared_ptr<const Lattice<D>> lattice, float factor, std::size_t channels)
      : lattice_(std::move(lattice)), factor_(factor) {
    std::size_t first = 0;
    for (const int size : {8, 4, 2, 1}) {
      for (; channels - first >= std::size_t(size); first += size) {
        const std::size_t room = (lattice_->vertices + 1) * size;
        groups_.push_back({first, size, Array<float>(room), Array<float>(room)});
      }
    }
  }
  void clear() {
    for (auto& group : groups_) {
      std::memset(group.target.data(), 0, group.target.size() * sizeof(float));
    }
  }
  TAG2MASK_INLINE void add(std::size_t block, const float (*values)[BLOCK]) {
    for (auto& group : groups_) {
      const float(*from)[BLOCK] = values + group.first;
      float* to = group.target.data();
      switch (group.size) {
        case 8: splat<D, 8>(*lattice_, block, from, factor_, to); break;
        case 4: splat<D, 4>(*lattice_, block, from, factor_, to); break;
        case 2: splat<D, 2>(*lattice_, block, from, factor_, to); break;
        default: splat<D, 1>(*lattice_, block, from, factor_, to);
      }
    }
  }
  void send() {
    for (auto& group : groups_) {
      float *from = group.target.data(), *to = group.ready.data(), *last;
      switch (group.size) {
        case 8: last = blur<D, 8>(*lattice_, from, to); break;
        case 4: last = blur<D, 4>(*lattice_, from, to); break;
        case 2: last = blur<D, 2>(*lattice_, from, to); break;
        default: last = blur<D, 1>(*lattice_, from, to);
      }
      if (last == from) std::swap(group.ready, group.target);
    }
  }
  TAG2MASK_INLINE void receive(std::size_t block, float (*values)[BLOCK]) const {
    for (const auto& group : groups_) {
      float(*to)[BLOCK] = values + group.first;
      const float* from = group.ready.data();
      switch (group.size) {
        case 8: slice<D, 8>(*lattice_, block, from, to); break;
        case 4: slice<D, 4>(*lattice_, block, from, to); break;
        case 2: slice<D, 2>(*lattice_, block, from, to); break;
        default: slice<D, 1>(*lattice_, block, from, to);
      }
    }
  }

 private:
  struct Group {
    std::size_t first;
    int size;
    Array<float> target, ready;
  };
  std::shared_ptr<const Lattice<D>> lattice_;
  float factor_;
  std::vector<Group> groups_;
};

// Scores to probabilities, in place. With Potts, `scores` lacks the first label, whose score is 0;
// what comes out goes to `all` (every label), and `scores` takes what is to be filtered.
TAG2MASK_INLINE void softmax(float (*scores)[BLOCK], float (*all)[BLOCK], std::size_t labels,
                             bool potts) {
  float largest[BLOCK], sum[BLOCK];
  const std::size_t skip = potts ? 1 : 0;
  for (int p = 0; p < BLOCK; ++p) {
    if (potts) all[0][p] = 0;
    sum[p] = 0;
  }
  for (std::size_t l = skip; l < labels; ++l) {
    for (int p = 0; p < BLOCK; ++p) all[l][p] = scores[l - skip][p];
  }
  for (int p = 0; p < BLOCK; ++p) largest[p] = all[0][p];
  for (std::size_t l = 1; l < labels; ++l) {
    for (int p = 0; p < BLOCK; ++p) largest[p] = all[l][p] > largest[p] ? all[l][p] : largest[p];
  }
  for (std::size_t l = 0; l < labels; ++l) {
    float x[BLOCK];
    for (int p = 0; p < BLOCK; ++p) x[p] = all[l][p] - largest[p];
    exponential(x);
    for (int p = 0; p < BLOCK; ++p) {
      all[l][p] = x[p];
      sum[p] += x[p];
    }
  }
  for (int p = 0; p < BLOCK; ++p) sum[p] = 1.0f / sum[p];
  for (std::size_t l = 0; l < labels; ++l) {
    for (int p = 0; p < BLOCK; ++p) all[l][p] *= sum[p];
  }
  for (std::size_t l = skip; l < labels; ++l) {
    for (int p = 0; p < BLOCK; ++p) scores[l - skip][p] = all[l][p] - (potts ? all[0][p] : 0.0f);
  }
}

class Inference {
 public:
  Inference(const Problem& problem, std::shared_ptr<const Lattice<2>> gaussian,
            std::shared_ptr<const Lattice<5>> bilateral)
      : problem_(problem),
        potts_(problem.compatibility == nullptr),
        each_(problem.labels - (potts_ ? 1 : 0)),
        channels_(each_ * problem.unaries),
        evidence_(blocks(problem.pixels()) * channels_ * BLOCK),
        values_(channels_ * BLOCK),
        all_(problem.labels * BLOCK) {
    if (gaussian) gaussian_.emplace(std::move(gaussian), problem.gaussian.weight, channels_);
    if (bilateral) bilateral_.emplace(std::move(bilateral), problem.bilateral.weight, channels_);
    gather_evidence();
  }

  void run() {
    for (std::size_t iteration = 0; iteration <= problem_.iterations; ++iteration) {
      const bool last = iteration == problem_.iterations;
      if (!last) prepare();
      for (std::size_t b = 0; b < blocks(problem_.pixels()); ++b) visit(b, iteration > 0, last);
      if (!last) send();
    }
  }

 private:
  using Values = float (*)[BLOCK];

  // What the unaries say, as scores: −energy, with Potts relative to the first label.
  void gather_evidence() {
    const std::size_t pixels = problem_.pixels();
    for (std::size_t u = 0; u < problem_.unaries; ++u) {
      const float* energy = problem_.unary + u * problem_.labels * pixels;
      for (std::size_t l = 0; l < each_; ++l) {
        const float* own = energy + (l + (potts_ ? 1 : 0)) * pixels;
        for (std::size_t b = 0; b < blocks(pixels); ++b) {
          float* to = evidence_.data() + (b * channels_ + u * each_ + l) * BLOCK;
          for (int p = 0; p < BLOCK; ++p) {
            const std::size_t pixel = std::min(b * BLOCK + p, pixels - 1);
            to[p] = (potts_ ? energy[pixel] : 0.0f) - own[pixel];
          }
        }
      }
    }
  }
  void prepare() {
    if (gaussian_) gaussian_->clear();
    if (bilateral_) bilateral_->clear();
  }
  void send() {
    if (gaussian_) gaussian_->send();
    if (bilateral_) bilateral_->send();
  }
  // Slice, softmax and splat of one block while it is in the cache.
  void visit(std::size_t b, bool messages, bool last) {
    const auto values = reinterpret_cast<Values>(values_.data());
    std::memset(values_.data(), 0, values_.size() * sizeof(float));
    if (messages) {
      if (gaussian_) gaussian_->receive(b, values);
      if (bilateral_) bilateral_->receive(b, values);
      if (!potts_) apply_compatibility(values);
    }
    const float* evidence = evidence_.data() + b * channels_ * BLOCK;
    for (std::size_t i = 0; i < channels_ * BLOCK; ++i) values_[i] += evidence[i];
    const auto all = reinterpret_cast<Values>(all_.data());
    for (std::size_t u = 0; u < problem_.unaries; ++u) {
      softmax(values + u * each_, all, problem_.labels, potts_);
      if (last) write(b, u, all);
    }
    if (last) return;
    if (gaussian_) gaussian_->add(b, values);
    if (bilateral_) bilateral_->add(b, values);
  }
  // Messages of labels to costs: −Σ μ(l, l') · message(l').
  void apply_compatibility(Values values) {
    const std::size_t labels = problem_.labels;
    const auto mixed = reinterpret_cast<Values>(all_.data());
    for (std::size_t u = 0; u < problem_.unaries; ++u) {
      const Values own = values + u * labels;
      for (std::size_t l = 0; l < labels; ++l) {
        for (int p = 0; p < BLOCK; ++p) mixed[l][p] = 0;
        for (std::size_t m = 0; m < labels; ++m) {
          const float cost = problem_.compatibility[l * labels + m];
          for (int p = 0; p < BLOCK; ++p) mixed[l][p] = madd(-cost, own[m][p], mixed[l][p]);
        }
      }
      std::memcpy(own, mixed, labels * BLOCK * sizeof(float));
    }
  }
  void write(std::size_t b, std::size_t u, Values all) {
    const std::size_t pixels = problem_.pixels();
    const std::size_t first = b * BLOCK, count = std::min<std::size_t>(BLOCK, pixels - first);
    for (std::size_t l = 0; l < problem_.labels; ++l) {
      float* to = problem_.probabilities + (u * problem_.labels + l) * pixels + first;
      std::memcpy(to, all[l], count * sizeof(float));
    }
  }

  const Problem& problem_;
  bool potts_;
  std::size_t each_, channels_;
  Array<float> evidence_;  // [block][channel][BLOCK]
  Array<float> values_, all_;
  std::optional<Messages<2>> gaussian_;
  std::optional<Messages<5>> bilateral_;
};

Lattice<2> make_gaussian(const Problem& problem) {
  return make_lattice<2>(problem, problem.gaussian);
}

void infer(const Problem& problem, std::shared_ptr<const Lattice<2>> gaussian) {
  std::shared_ptr<const Lattice<5>> bilateral;
  if (problem.bilateral.present && problem.iterations > 0) {
    bilateral = std::make_shared<Lattice<5>>(make_lattice<5>(problem, problem.bilateral));
  }
  Inference(problem, std::move(gaussian), std::move(bilateral)).run();
}
