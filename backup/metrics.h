/*
 * An overview as a Prometheus text file, for the textfile collector of the node exporter: gauges in base units, moments in seconds since 1970.
 * What never happened has no sample. Nothing secret is in it (P10): names, paths and figures of shops, which is why it may be read by all.
 */
#ifndef NOPSNAP_METRICS_H
#define NOPSNAP_METRICS_H

#include "buffer.h"
#include "overview.h"

enum error_kind metrics_print(const struct overview *o, struct buffer *out, struct error *err);
/*
 * Write it, mode 0644 whatever the umask says: the collector is another user.
 *
 * Durable    the old file or the new one, whole; a collector never sees half of it
 */
enum error_kind metrics_write(const struct overview *o, const char *path, struct error *err);

#endif
