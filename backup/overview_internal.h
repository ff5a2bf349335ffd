#ifndef NOPSNAP_OVERVIEW_INTERNAL_H
#define NOPSNAP_OVERVIEW_INTERNAL_H

#include "overview.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define NS_PER_HOUR (3600 * NS_PER_S)
#define NS_PER_DAY (24 * NS_PER_HOUR)

/* Behind those of the same grade. hint may be NULL. */
enum error_kind overview_problem_add(struct overview_problems *list, enum overview_grade grade, const char *code,
                                     const char *hint, struct error *err, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* What is wrong with a site whose figures are all there; with the catalogue. */
enum error_kind overview_judge_site(const struct overview *o, struct overview_site *s, struct error *err);
enum error_kind overview_judge_catalog(struct overview *o, struct error *err);

#endif
