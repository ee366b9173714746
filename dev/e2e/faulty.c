/* faulty WHEN ARGS…: stands in for wallex in an image that fails on demand. WHEN is `migrate` or `serve`, ARGS are what the
   operator runs: the migration or a role. Whatever should not fail succeeds at once. */
#include <stdio.h>
#include <string.h>
int main(int count, char **args) {
    if (count < 3) return 2;
    if (!strcmp(args[1], "migrate") != !strcmp(args[2], "migrate")) return 0;
    fprintf(stderr, "starting\nerror: this build was made to fail as %s\n", args[2]);
    return 1;
}
