package step_test

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/step"
)

// sizeOf is one size of an expression: the whole grammar.
var sizeOf = regexp.MustCompile(`^(?:([+*]?)([1-9]\d{0,9})|([1-9]\d?|100)%)$`)

// planned is the plan of an expression by rational arithmetic, the length of the plan, and whether the
// expression is one at all. It keeps no more than 600 batches.
func planned(expression string, total int32) (ends []int32, n int, ok bool) {
	parts := strings.Split(expression, " ")
	all, end, last := big.NewInt(int64(total)), new(big.Int), new(big.Int)
	for _, part := range parts {
		m := sizeOf.FindStringSubmatch(part)
		if m == nil {
			return nil, 0, false
		}
		if n, _ := new(big.Int).SetString("0"+m[2], 10); n.Cmp(big.NewInt(math.MaxInt32)) > 0 {
			return nil, 0, false
		}
	}
	for ; end.Cmp(all) < 0; n++ {
		m := sizeOf.FindStringSubmatch(parts[min(n, len(parts)-1)])
		number, _ := new(big.Int).SetString(m[2]+m[3], 10)
		size := number
		switch {
		case m[3] != "":
			part := new(big.Rat).Mul(new(big.Rat).SetFrac(number, big.NewInt(100)), new(big.Rat).SetInt(all))
			size = new(big.Int).Quo(part.Num(), part.Denom())
			if !part.IsInt() {
				size.Add(size, big.NewInt(1))
			}
		case m[1] == "+":
			size = new(big.Int).Add(number, last)
		case m[1] == "*" && n > 0:
			size = new(big.Int).Mul(number, last)
		}
		last = size
		if left := new(big.Int).Sub(all, end); size.Cmp(left) > 0 {
			size = left
		}
		end.Add(end, size)
		if n < 600 {
			ends = append(ends, int32(end.Int64()))
		}
	}
	return ends, n, true
}

// agrees asserts that Batches answers as the oracle does.
func agrees(t interface{ Errorf(string, ...any) }, expression string, total int32) {
	want, n, ok := planned(expression, total)
	got, err := step.Batches(expression, total)
	switch sizes := strings.Count(expression, " ") + 1; {
	case sizes > step.MaxBatches && total > 0:
		if want := fmt.Sprintf("%d sizes, want at most 500", sizes); err == nil || err.Error() != want {
			t.Errorf("Batches of %d sizes, %d = %v, %v; want the error %s", sizes, total, got, err, want)
		}
	case ok && n <= step.MaxBatches:
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Batches(%q, %d) = %v, %v; want %v", expression, total, got, err, want)
		}
		first, end := int32(0), int32(0)
		for i, next := range want { // each from the one before
			if got := step.BatchAfter(expression, total, int32(i), first, end); got != next {
				t.Errorf("BatchAfter(%q, %d, number %d, %d to %d) = %d, want %d", expression, total, i, first, end, got, next)
			}
			first, end = end, next
		}
	case ok:
		if want := fmt.Sprintf("%d batches, want at most 500", n); err == nil || err.Error() != want {
			t.Errorf("Batches(%q, %d) = %d batches, %v; want the error %s", expression, total, len(got), err, want)
		}
	case err == nil:
		t.Errorf("Batches(%q, %d) = %v, want an error", expression, total, got)
	}
}

// Every percentage of every total up to 1,000 is rounded up, as by rational arithmetic.
func TestAPercentageIsRoundedUp(t *testing.T) {
	for percent := int64(1); percent <= 100; percent++ {
		expression := fmt.Sprintf("%d%%", percent)
		for total := int32(1); total <= 1000; total++ {
			part := big.NewRat(percent*int64(total), 100)
			size := new(big.Int).Quo(part.Num(), part.Denom()).Int64()
			if !part.IsInt() {
				size++
			}
			var want []int32
			for end := size; end < int64(total); end += size {
				want = append(want, int32(end))
			}
			want = append(want, total)
			if got, err := step.Batches(expression, total); err != nil || !slices.Equal(got, want) {
				t.Fatalf("Batches(%s, %d) = %v, %v; want %v", expression, total, got, err, want)
			}
		}
	}
}

// Any list of sizes has the plan of the oracle, for any total.
func TestBatchesAreThoseOfTheOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		number := rapid.OneOf(rapid.Int64Range(1, 12), rapid.Int64Range(1, math.MaxInt32))
		parts := make([]string, rapid.IntRange(1, 5).Draw(rt, "parts"))
		for i := range parts {
			parts[i] = rapid.OneOf(
				rapid.Map(number, func(n int64) string { return fmt.Sprint(n) }),
				rapid.Map(number, func(n int64) string { return fmt.Sprintf("+%d", n) }),
				rapid.Map(number, func(n int64) string { return fmt.Sprintf("*%d", n) }),
				rapid.Map(rapid.IntRange(1, 100), func(n int) string { return fmt.Sprintf("%d%%", n) }),
			).Draw(rt, "part")
		}
		agrees(rt, strings.Join(parts, " "), rapid.OneOf(rapid.Int32Range(1, 2000), rapid.Int32Range(1, 100_000)).Draw(rt, "total"))
	})
}

// Scenarios A.3.1 to A.3.3: the sizes of a plan.
func TestRolling01To03PlansOfBatches(t *testing.T) {
	for _, c := range []struct {
		expression string
		total      int32
		sizes      []int32
	}{
		{"30%", 7, []int32{3, 3, 1}},
		{"29%", 100, []int32{29, 29, 29, 13}}, // 28 by floating point
		{"57%", 100, []int32{57, 43}},
		{"7%", 100, append(slices.Repeat([]int32{7}, 14), 2)}, // 8 by floating point, rounded up
		{"1%", 1, []int32{1}},
		{"100%", 10, []int32{10}},
		{"1 2 +1 *10 100%", 100, []int32{1, 2, 3, 30, 64}},
		{"*2", 20, []int32{2, 4, 8, 6}},
		{"+2", 20, []int32{2, 4, 6, 8}},
		{"10 *100000000", 4_000_000, []int32{10, 3_999_990}},
		{"2147483647", math.MaxInt32, []int32{math.MaxInt32}},
		{"1 +2147483647 *2147483647", math.MaxInt32, []int32{1, math.MaxInt32 - 1}},
		{"1", 500, slices.Repeat([]int32{1}, 500)},
	} {
		ends, err := step.Batches(c.expression, c.total)
		sizes, begin := []int32{}, int32(0)
		for _, end := range ends {
			sizes, begin = append(sizes, end-begin), end
		}
		if err != nil || !slices.Equal(sizes, c.sizes) {
			t.Errorf("Batches(%q, %d) have the sizes %v, %v; want %v", c.expression, c.total, sizes, err, c.sizes)
		}
	}
	for total, want := range map[int32]string{
		501: "501 batches, want at most 500", 4_000_000: "4000000 batches, want at most 500",
		0: "0 targets: a plan needs at least one", -1: "-1 targets: a plan needs at least one",
	} {
		if ends, err := step.Batches("1", total); err == nil || err.Error() != want || ends != nil {
			t.Errorf("Batches(1, %d) = %v, %v; want the error %s", total, ends, err, want)
		}
	}
}

// A stored expression is short: it has no size that no plan can use.
func TestAnExpressionHasAtMost500Sizes(t *testing.T) {
	for _, sizes := range []int{500, 501} {
		agrees(t, strings.Repeat("1 ", sizes-1)+"1", 10)
	}
}

// Scenario A.3.4. There is one grammar, and everything else is refused by the number of its part.
func TestRolling04ExpressionsThatAreNone(t *testing.T) {
	const blank, number, percent = "empty: want one blank", "want a size such as 5, 10%, +5 or *5, with a number from 1 to 2147483647", "want 1% to 100%"
	for expression, want := range map[string]string{
		"": "part 1: " + blank, " ": "part 1: " + blank, " 1": "part 1: " + blank, "1 ": "part 2: " + blank, "1  2": "part 2: " + blank,
		"0": `part 1: "0": ` + number, "0%": `part 1: "0%": ` + number, "101%": `part 1: "101%": ` + percent, "5 1000%": `part 2: "1000%": ` + percent,
		"+0": `part 1: "+0": ` + number, "*0": `part 1: "*0": ` + number, "05": `part 1: "05": ` + number, "+05": `part 1: "+05": ` + number,
		"-1": `part 1: "-1": ` + number, "++1": `part 1: "++1": ` + number, "+-1": `part 1: "+-1": ` + number, "+": `part 1: "+": ` + number,
		"%": `part 1: "%": ` + number, "+5%": `part 1: "+5%": ` + number, "5%%": `part 1: "5%%": ` + number, "%5": `part 1: "%5": ` + number,
		"1.5": `part 1: "1.5": ` + number, "1.5%": `part 1: "1.5%": ` + number, "1e3": `part 1: "1e3": ` + number, "0x1": `part 1: "0x1": ` + number,
		"1_0": `part 1: "1_0": ` + number, "1\t2": `part 1: "1\t2": ` + number, "1,2": `part 1: "1,2": ` + number, "٣": `part 1: "٣": ` + number,
		"2147483648": `part 1: "2147483648": ` + number, "1 99999999999999999999": `part 2: "99999999999999999999": ` + number,
	} {
		if ends, err := step.Batches(expression, 10); err == nil || !strings.HasPrefix(err.Error(), want) || ends != nil {
			t.Errorf("Batches(%q, 10) = %v, %v; want an error that begins %s", expression, ends, err, want)
		}
	}
}

// An expression of the grammar has the plan of the oracle, and any other text is refused.
func FuzzBatches(f *testing.F) {
	for _, expression := range []string{"30%", "1 2 +1 *10 100%", "10 *100000000", " 1", "1  2", "05", "+0", "101%", "-1", "2147483648"} {
		f.Add(expression, int32(100))
	}
	f.Fuzz(func(t *testing.T, expression string, total int32) {
		if total > 0 && total <= 100_000 {
			agrees(t, expression, total)
		}
	})
}

// A preview of the batches of 250 targets: two of them first, then a tenth, then the rest.
func ExampleBatches() {
	ends, err := step.Batches("2 10% 100%", 250)
	if err != nil {
		fmt.Println(err)
		return
	}
	begin := int32(0)
	for i, end := range ends {
		fmt.Printf("batch %d: %d targets, %d to %d\n", i+1, end-begin, begin, end-1)
		begin = end
	}
	_, err = step.Batches("2 10% 0%", 250)
	fmt.Println(err)
	// Output:
	// batch 1: 2 targets, 0 to 1
	// batch 2: 25 targets, 2 to 26
	// batch 3: 223 targets, 27 to 249
	// part 3: "0%": want a size such as 5, 10%, +5 or *5, with a number from 1 to 2147483647
}
