# Draws the samples of dev/demo-autoscaling as SVG: lag above, pods below, over time in seconds. Columns: second, lag and pods of the
# ledger, lag and pods of the read model. -v released, ended: the seconds at which the projectors were released and the load ended.
BEGIN {
  width = 800; left = 64; right = 16
  lag_top = 56; lag_height = 180; pods_top = 284; pods_height = 90; bottom = pods_top + pods_height
  name[2] = "ledger"; name[4] = "read model"
  colour[2] = "#1f77b4"; colour[4] = "#d95f02"
  max_lag = 1; max_pods = 1
}
{
  n++
  for (i = 1; i <= 5; i++) value[n, i] = $i
  if ($2 > max_lag) max_lag = $2
  if ($4 > max_lag) max_lag = $4
  if ($3 > max_pods) max_pods = $3
  if ($5 > max_pods) max_pods = $5
}
function at(second) { return left + (width - left - right) * second / last }
function y_lag(lag) { return lag_top + lag_height * (1 - lag / lag_scale) }
function y_pods(pods) { return pods_top + pods_height * (1 - pods / max_pods) }
# The smallest of 1, 2 or 5 times a power of ten that is not below v.
function round_up(v,   p) {
  p = 1
  while (p * 10 < v) p *= 10
  return v <= p ? p : v <= 2 * p ? 2 * p : v <= 5 * p ? 5 * p : 10 * p
}
function thousands(v,   s) {
  s = sprintf("%d", v)
  while (match(s, /[0-9][0-9][0-9][0-9]($|,)/)) s = substr(s, 1, RSTART) "," substr(s, RSTART + 1)
  return s
}
function text(px, py, anchor, s) { printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", px, py, anchor, s }
function rule(x1, y1, x2, y2, style) { printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, style }
END {
  if (n == 0) exit 1
  last = value[n, 1] > 0 ? value[n, 1] : 1
  lag_scale = round_up(max_lag)
  grid = "stroke=\"#ddd\""
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n", width, bottom + 44
  printf "<title>Lag and pods of the projectors over time</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"

  for (i = 0; i <= 4; i++) {
    rule(left, y_lag(lag_scale * i / 4), width - right, y_lag(lag_scale * i / 4), grid)
    text(left - 6, y_lag(lag_scale * i / 4) + 4, "end", thousands(lag_scale * i / 4))
  }
  for (i = 0; i <= max_pods; i++) {
    rule(left, y_pods(i), width - right, y_pods(i), grid)
    text(left - 6, y_pods(i) + 4, "end", i)
  }
  step = round_up(last / 12)
  for (i = 0; i <= last; i += step) text(at(i), bottom + 18, "middle", i)
  text(width - right, bottom + 36, "end", "seconds")
  text(left, lag_top - 10, "start", "lag, events")
  text(left, pods_top - 10, "start", "ready pods")

  marks[released] = "released"; marks[ended] = "load ends"
  for (second in marks) {
    rule(at(second), lag_top - 6, at(second), bottom, "stroke=\"#999\" stroke-dasharray=\"4 3\"")
    text(at(second) + 4, lag_top - 10, "start", marks[second])
  }

  for (c = 2; c <= 4; c += 2) {
    printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" points=\"", colour[c]
    for (i = 1; i <= n; i++) printf "%.1f,%.1f ", at(value[i, 1]), y_lag(value[i, c])
    printf "\"/>\n<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\"%s points=\"", colour[c], c == 4 ? " stroke-dasharray=\"5 3\"" : ""
    for (i = 1; i <= n; i++) {
      if (i > 1) printf "%.1f,%.1f ", at(value[i, 1]), y_pods(value[i - 1, c + 1])
      printf "%.1f,%.1f ", at(value[i, 1]), y_pods(value[i, c + 1])
    }
    printf "\"/>\n"
    place = left + (c == 2 ? 0 : 90)
    rule(place, 20, place + 18, 20, "stroke-width=\"2\" stroke=\"" colour[c] "\"")
    text(place + 24, 24, "start", name[c])
  }
  print "</svg>"
}
