#include "due.h"

#define NS_PER_S INT64_C(1000000000)

bool due(int64_t last_ns, int64_t now_ns, int64_t every_s)
{
    if (last_ns == DUE_NEVER_DONE || last_ns > now_ns)
        return true;
    return (now_ns - last_ns) / NS_PER_S >= every_s - every_s / 10;
}
