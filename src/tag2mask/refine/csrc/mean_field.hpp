// Mean-field inference in a fully connected CRF (Krähenbühl, Koltun: Efficient Inference in Fully
// Connected CRFs with Gaussian Edge Potentials, 2011). Included once per variant, inside its
// namespace.
//
// With Potts compatibility only differences of messages matter, and the filters are linear: what
// is filtered is the probability of each label minus that of the first one, labels − 1 channels.

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
  TAG2MASK_INLINE void add(std::size_t block, const Floats* values) {
    for (auto& group : groups_) {
      const Floats* from = values + group.first;
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
  TAG2MASK_INLINE void receive(std::size_t block, Floats* values) const {
    for (const auto& group : groups_) {
      Floats* to = values + group.first;
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

// The softmax of two labels, with one exponential.
TAG2MASK_INLINE void sigmoid(Floats* score, Floats* all) {
  const Floats zero = floats(0), one = floats(1);
  const Floats less = exponential(zero - largest(*score, zero - *score));
  const Floats better = one / (one + less), worse = less * better;
  all[0] = where_less(*score, zero, better, worse);
  all[1] = where_less(*score, zero, worse, better);
  *score = all[1] - all[0];
}

// Scores to probabilities. With Potts, `scores` lack the first label, whose score is 0. What comes
// out goes to `all` (every label), and `scores` take what is to be filtered.
TAG2MASK_INLINE void softmax(Floats* scores, Floats* all, std::size_t labels, bool potts) {
  if (potts && labels == 2) return sigmoid(scores, all);
  const std::size_t skip = potts ? 1 : 0;
  all[0] = floats(0);
  for (std::size_t l = skip; l < labels; ++l) all[l] = scores[l - skip];
  Floats most = all[0], sum = floats(0);
  for (std::size_t l = 1; l < labels; ++l) most = largest(most, all[l]);
  for (std::size_t l = 0; l < labels; ++l) {
    all[l] = exponential(all[l] - most);
    sum = sum + all[l];
  }
  const Floats inverse = floats(1) / sum;
  for (std::size_t l = 0; l < labels; ++l) all[l] = all[l] * inverse;
  const Floats reference = potts ? all[0] : floats(0);
  for (std::size_t l = skip; l < labels; ++l) scores[l - skip] = all[l] - reference;
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
        values_(channels_),
        all_(problem.labels) {
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
    Floats *values = values_.data(), *all = all_.data();
    const float* evidence = evidence_.data() + b * channels_ * BLOCK;
    for (std::size_t c = 0; c < channels_; ++c) values[c] = floats(0);
    if (messages) {
      if (gaussian_) gaussian_->receive(b, values);
      if (bilateral_) bilateral_->receive(b, values);
      if (!potts_) apply_compatibility(values);
    }
    for (std::size_t c = 0; c < channels_; ++c) values[c] = values[c] + load(evidence + c * BLOCK);
    for (std::size_t u = 0; u < problem_.unaries; ++u) {
      softmax(values + u * each_, all, problem_.labels, potts_);
      if (last) write(b, u);
    }
    if (last) return;
    if (gaussian_) gaussian_->add(b, values);
    if (bilateral_) bilateral_->add(b, values);
  }
  // Messages of labels to costs: −Σ μ(l, l') · message(l').
  void apply_compatibility(Floats* values) {
    const std::size_t labels = problem_.labels;
    for (std::size_t u = 0; u < problem_.unaries; ++u) {
      Floats* own = values + u * labels;
      for (std::size_t l = 0; l < labels; ++l) {
        all_[l] = floats(0);
        for (std::size_t m = 0; m < labels; ++m) {
          all_[l] = madd(floats(-problem_.compatibility[l * labels + m]), own[m], all_[l]);
        }
      }
      for (std::size_t l = 0; l < labels; ++l) own[l] = all_[l];
    }
  }
  void write(std::size_t b, std::size_t u) {
    const std::size_t pixels = problem_.pixels();
    const std::size_t first = b * BLOCK, count = std::min<std::size_t>(BLOCK, pixels - first);
    for (std::size_t l = 0; l < problem_.labels; ++l) {
      float values[BLOCK];
      store(all_[l], values);
      float* to = problem_.probabilities + (u * problem_.labels + l) * pixels + first;
      std::memcpy(to, values, count * sizeof(float));
    }
  }

  const Problem& problem_;
  bool potts_;
  std::size_t each_, channels_;
  Array<float> evidence_;  // [block][channel][BLOCK]
  Array<Floats> values_, all_;
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
