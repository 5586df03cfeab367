// One variant of the engine: `_crf.cpp` includes this once for each, inside the variant's namespace
// and with its instruction set, after LANES (numbers to a register) and, where the machine has it,
// TAG2MASK_FMA(a, b, c) = a · b + c for one register.

#if defined(TAG2MASK_FMA)
TAG2MASK_INLINE float madd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
TAG2MASK_INLINE float madd(float a, float b, float c) { return a * b + c; }
#endif

#include "pack.hpp"
#include "side.hpp"
#include "filter.hpp"
#include "lattice.hpp"
#include "mean_field.hpp"

#undef TAG2MASK_FMA
