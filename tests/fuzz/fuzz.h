/* The one function of a fuzz target, as libFuzzer calls it. It aborts on what must not be, and returns 0. */
#ifndef NOPSNAP_FUZZ_H
#define NOPSNAP_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#endif
