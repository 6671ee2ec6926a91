// Package words counts words.
package words

import (
	"strings"
	"sync"
)

// Count tells how often each word, in lower case, stands in the texts. The texts are counted at the same time.
func Count(texts ...string) map[string]int {
	var (
		lock   sync.Mutex
		group  sync.WaitGroup
		counts = make(map[string]int)
	)
	for _, text := range texts {
		group.Add(1)
		go func(text string) {
			defer group.Done()
			for _, word := range strings.Fields(strings.ToLower(text)) {
				lock.Lock()
				counts[word]++
				lock.Unlock()
			}
		}(text)
	}
	group.Wait()
	return counts
}
