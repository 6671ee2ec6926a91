package words

import (
	"reflect"
	"testing"
)

func TestCount(t *testing.T) {
	for name, c := range map[string]struct {
		texts []string
		want  map[string]int
	}{
		"none":    {nil, map[string]int{}},
		"one":     {[]string{"a B a"}, map[string]int{"a": 2, "b": 1}},
		"several": {[]string{"x", "X y", "y"}, map[string]int{"x": 2, "y": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Count(c.texts...); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
