/* UTF-8, for the files of this room that show or store bytes of unknown origin. */
#ifndef NOPSNAP_UTF8_INTERNAL_H
#define NOPSNAP_UTF8_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decode the character at p: shortest form only, no surrogates, nothing above U+10FFFF.
 *
 * Returns    its length in bytes with *out set, or 0 if the bytes are not UTF-8 (or left is 0)
 */
size_t utf8_length(const unsigned char *p, size_t left, uint32_t *out);

#endif
