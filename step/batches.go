package step

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxBatches is the maximum number of batches of a step.
const MaxBatches = 500

// Batches returns the plan of a [Rolling] step: for each batch of an expression the index of the
// first target after it. The last is total. It is pure, so it also previews a plan.
//
// An expression is a list of sizes, separated by one blank each; the last one repeats until no
// target is left, and the last batch has what is left. A size is one of
//
//	5    5 targets
//	10%  a part of all targets, rounded up: 1% to 100%
//	+5   5 targets more than the batch before, which has 0 before the first
//	*5   5 times the batch before, which has 1 before the first
//
// where a number is 1 to 2147483647, without sign or leading zero. There are at most [MaxBatches] sizes.
// The error says which part is wrong, or that the plan has no target or more than MaxBatches batches.
func Batches(expression string, total int32) ([]int32, error) {
	if total < 1 {
		return nil, fmt.Errorf("%d targets: a plan needs at least one", total)
	}
	if n := strings.Count(expression, " ") + 1; n > MaxBatches {
		return nil, fmt.Errorf("%d sizes, want at most %d", n, MaxBatches)
	}
	parts := strings.Split(expression, " ")
	sizes := make([]size, len(parts))
	for i, part := range parts {
		var err error
		if sizes[i], err = parseSize(part); err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
	}
	var ends []int32
	n, before := 0, int64(0)
	for end := int64(0); end < int64(total); n++ {
		last := before
		before = sizes[min(n, len(sizes)-1)].of(before, n == 0, int64(total))
		if n >= max(MaxBatches, len(sizes)) && before == last { // too many, and all that follow are of this size
			n += int((int64(total) - end + before - 1) / before)
			break
		}
		end = min(end+before, int64(total))
		if n < MaxBatches {
			ends = append(ends, int32(end))
		}
	}
	if n > MaxBatches {
		return nil, fmt.Errorf("%d batches, want at most %d", n, MaxBatches)
	}
	return ends, nil
}

// BatchAfter returns the end of the batch that follows one of the plan that [Batches] returns, given the
// number of that one, its first target and its end; after number 0, which has none, that of the first
// batch. It needs no memory, and computes no batch before. After the last batch,
// or with an expression that Batches refuses, it is total.
func BatchAfter(expression string, total, number, first, end int32) int32 {
	size, err := parseSize(part(expression, number))
	if err != nil {
		return total
	}
	return int32(min(int64(end)+size.of(int64(end-first), number == 0, int64(total)), int64(total)))
}

// part returns the n-th part of an expression, from 0, or the last, which repeats.
func part(expression string, n int32) string {
	const block = 64 // bytes whose blanks are counted at once
	rest, blanks := expression, int(n)
	for len(rest) > block {
		within := strings.Count(rest[:block], " ")
		if within >= blanks {
			break
		}
		rest, blanks = rest[block:], blanks-within
	}
	for ; blanks > 0; blanks-- {
		at := strings.IndexByte(rest, ' ')
		if at < 0 {
			return expression[strings.LastIndexByte(expression, ' ')+1:]
		}
		rest = rest[at+1:]
	}
	first, _, _ := strings.Cut(rest, " ")
	return first
}

// A size is one part of an expression.
type size struct {
	kind byte // 0, '%', '+' or '*'
	n    int64
}

// of returns the size of a batch, 1 to total, after a batch of the size before.
func (s size) of(before int64, first bool, total int64) int64 {
	n := s.n
	switch s.kind {
	case '%':
		n = (total*s.n + 99) / 100
	case '+':
		n += before
	case '*':
		if !first {
			n *= before // both are below 1<<31
		}
	}
	return min(n, total)
}

func parseSize(part string) (s size, err error) {
	digits, percent := strings.CutSuffix(part, "%")
	switch {
	case part == "":
		return s, errors.New("empty: want one blank between two sizes, and none around them")
	case percent:
		s.kind = '%'
	case part[0] == '+' || part[0] == '*':
		s.kind, digits = part[0], part[1:]
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || digits[0] < '1' || digits[0] > '9' {
		if len(part) > 32 {
			part = part[:32] + "..."
		}
		return s, fmt.Errorf("%q: want a size such as 5, 10%%, +5 or *5, with a number from 1 to 2147483647", part)
	}
	if percent && n > 100 {
		return s, fmt.Errorf("%q: want 1%% to 100%%", part)
	}
	s.n = n
	return s, nil
}
