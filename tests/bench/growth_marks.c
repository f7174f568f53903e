/* Tells callgrind where a section begins and ends: each becomes a dump with a name. Build: cc -shared -fPIC */
#include <valgrind/callgrind.h>

void mark_begin(void) { CALLGRIND_ZERO_STATS; }
void mark_end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
