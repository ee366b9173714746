/* faulty WHEN ARGS…: stands in for wallex in an image that fails as told. WHEN is `migrate` or `serve`, ARGS are what the
   operator asks for: the migration or a role. What is not to fail ends well at once. */
#include <stdio.h>
#include <string.h>
int main(int count, char **args) {
    if (count < 3) return 2;
    if (!strcmp(args[1], "migrate") != !strcmp(args[2], "migrate")) return 0;
    fprintf(stderr, "starting\nerror: this build was made to fail as %s\n", args[2]);
    return 1;
}
