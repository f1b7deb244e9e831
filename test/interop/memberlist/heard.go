package main

import (
	"regexp"
	"sort"
	"sync"
)

// heardMax bounds the words that are kept.
const heardMax = 100_000

// ear remembers words of what arrives, in user messages and states alike, and reports each the first time.
type ear struct {
	mu    sync.Mutex
	words *regexp.Regexp
	known map[string]bool
}

func newEar(pattern string) (*ear, error) {
	if pattern == "" {
		return nil, nil
	}
	words, err := regexp.Compile(pattern)
	return &ear{words: words, known: map[string]bool{}}, err
}

func (e *ear) listen(how string, b []byte) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, word := range e.words.FindAll(b, -1) {
		if text := string(word); !e.known[text] && len(e.known) < heardMax {
			e.known[text] = true
			events.emit("heard", map[string]any{"word": text, "how": how})
		}
	}
}

// heard lists the words, sorted.
func (e *ear) heard() map[string]any {
	out := []string{}
	if e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		for word := range e.known {
			out = append(out, word)
		}
	}
	sort.Strings(out)
	return map[string]any{"words": out}
}
