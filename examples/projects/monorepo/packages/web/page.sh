# page TITLE: a page with the input as its body
page() {
    printf '<!doctype html>\n<title>%s</title>\n' "$1"
    sed 's/&/\&amp;/g; s/</\&lt;/g'
}
