package httpapi

import "sync"

// streams bounds the event streams that are open, in total and per person.
type streams struct {
	most, mostOfOne int

	mu  sync.Mutex // guards all below
	all int
	of  map[string]int // by person
}

func newStreams(most, mostOfOne int) *streams {
	return &streams{most: most, mostOfOne: mostOfOne, of: map[string]int{}}
}

// open reports whether a person may open another stream. If so, the stream counts until close.
func (s *streams) open(person string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == s.most || s.of[person] == s.mostOfOne {
		return false
	}
	s.all++
	s.of[person]++
	return true
}

func (s *streams) close(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[person]--; s.of[person] == 0 {
		delete(s.of, person)
	}
}
