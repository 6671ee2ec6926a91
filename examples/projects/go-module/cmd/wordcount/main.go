// Command wordcount prints the words of its input with their counts.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"sort"

	"example.com/wordcount/words"
)

var version = "dev"

func main() {
	showVersion := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	counts := words.Count(string(text))
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Println(counts[name], name)
	}
}
