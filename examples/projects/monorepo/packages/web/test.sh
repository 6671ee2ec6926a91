set -eu
. ./page.sh
test "$(echo 'a < b & c' | page Sums)" = '<!doctype html>
<title>Sums</title>
a &lt; b &amp; c'
