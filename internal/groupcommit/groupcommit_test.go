package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/internal/groupcommit"
)

// bench is a lane whose groups wait until the test lets them pass.
type bench struct {
	*groupcommit.Lanes[int]
	began chan []int           // tells of each group as it begins
	pass  chan func(int) error // carries one group out
}

func newBench(most int) *bench {
	b := &bench{began: make(chan []int), pass: make(chan func(int) error)}
	b.Lanes = groupcommit.New(1, most, func(c int) int { return c }, func(ctx context.Context, group []int) []error {
		b.began <- slices.Clone(group)
		errs := make([]error, len(group))
		select {
		case f := <-b.pass:
			for i, c := range group {
				errs[i] = f(c)
			}
		case <-ctx.Done():
			for i := range errs {
				errs[i] = ctx.Err()
			}
		}
		return errs
	})
	return b
}

func ok(int) error { return nil }

// call carries a change out in the background.
func (b *bench) call(ctx context.Context, key int64, c int) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- b.Do(ctx, key, c) }()
	synctest.Wait()
	return answer
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Changes that arrive while another is under way are the next group, and each gets its own answer.
func TestWhatComesMeanwhileIsTheNextGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(3)
		answers := []<-chan error{b.call(t.Context(), 1, 1)}
		want(t, "the first, alone and at once", <-b.began, []int{1})
		for i := 2; i <= 5; i++ {
			answers = append(answers, b.call(t.Context(), int64(i), i))
		}
		odd := func(c int) error {
			if c%2 == 1 {
				return fmt.Errorf("%d is odd", c)
			}
			return nil
		}
		for _, group := range [][]int{{2, 3, 4}, {5}} {
			b.pass <- odd
			want(t, "the next group", <-b.began, group)
		}
		b.pass <- odd
		for i, answer := range answers {
			want(t, fmt.Sprint("the answer to ", i+1), <-answer, odd(i+1))
		}
		again := b.call(t.Context(), 6, 6) // the lane is idle again
		want(t, "a later one", <-b.began, []int{6})
		b.pass <- ok
		want(t, "its answer", <-again, nil)
	})
}

func TestNoGroupHoldsTwoOfOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		b.call(t.Context(), 1, 1)
		<-b.began
		for i, key := range []int64{1, 1, 2, 0, 0, 2, 1} {
			b.call(t.Context(), key, 10+i)
		}
		for _, group := range [][]int{{10, 12, 13, 14}, {11, 15}, {16}} {
			b.pass <- ok
			want(t, "group", <-b.began, group)
		}
		b.pass <- ok
	})
}

func TestRepeatLetsAGroupHoldSeveralOfOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		b.Repeat = true
		for i := range 3 {
			b.call(t.Context(), 1, i)
		}
		for _, group := range [][]int{{0}, {1, 2}} {
			want(t, "group", <-b.began, group)
			b.pass <- ok
		}
	})
}

func TestAnEndedContextDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		ended, end := context.WithCancel(t.Context())
		end()
		want(t, "Do with an ended context", b.Do(ended, 1, 1), context.Canceled)

		b.call(t.Context(), 1, 1)
		<-b.began
		ctx, cancel := context.WithCancel(t.Context())
		left := b.call(ctx, 2, 2)
		b.call(t.Context(), 3, 3)
		cancel()
		want(t, "one that left the queue", <-left, "not begun: context canceled")
		b.pass <- ok
		want(t, "the group without it", <-b.began, []int{3})
		b.pass <- ok
	})
}

// A group goes on when a caller leaves it, and is cancelled once all have left.
func TestAGroupEndsWhenNobodyWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		b.call(t.Context(), 1, 1)
		<-b.began
		var cancels []context.CancelFunc
		var answers []<-chan error
		for i := range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels, answers = append(cancels, cancel), append(answers, b.call(ctx, int64(i+2), i+2))
		}
		b.pass <- ok
		want(t, "the group", <-b.began, []int{2, 3})
		cancels[0]()
		want(t, "the one that has left", <-answers[0], context.Canceled)
		last := b.call(t.Context(), 4, 4)
		select {
		case err := <-answers[1]:
			t.Errorf("the one that still waits has the answer %v as the other leaves", err)
		default:
		}
		cancels[1]() // the last caller leaves, and the group is cancelled: the next one begins
		want(t, "the next group", <-b.began, []int{4})
		b.pass <- ok
		want(t, "its answer", <-last, nil)
	})
}

// A change that queues is copied, and one that does not queue is not.
func TestOnlyWhatQueuesIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass, ran := make(chan bool), make(chan []int, 1)
		lanes := groupcommit.New(1, 10, slices.Clone[[]int], func(_ context.Context, group [][]int) []error {
			<-pass
			for _, c := range group {
				ran <- c
			}
			return make([]error, len(group))
		})
		direct, queued := []int{1}, []int{2}
		go func() { _ = lanes.Do(t.Context(), 1, direct) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = lanes.Do(ctx, 2, queued) }()
		synctest.Wait()
		pass <- true
		if got := <-ran; &got[0] != &direct[0] {
			t.Error("the change that did not queue was copied")
		}
		synctest.Wait()
		cancel() // its caller leaves while its group is under way, and takes its memory back
		synctest.Wait()
		queued[0] = 99
		pass <- true
		want(t, "the change that queued", <-ran, []int{2})
	})
}

func TestOneThatPanicsLeavesTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which a lane that is not left is a deadlock
		calls := 0
		lanes := groupcommit.New(1, 10, func(c int) int { return c }, func(context.Context, []int) []error {
			if calls++; calls == 1 {
				panic("first")
			}
			return []error{errors.New("second")}
		})
		func() {
			defer func() { _ = recover() }()
			_ = lanes.Do(t.Context(), 1, 1)
		}()
		want(t, "the next Do", lanes.Do(t.Context(), 1, 1), "second")
	})
}

// A panic in a group is the error of its changes, as is the end of its goroutine, and the lane
// goes on.
func TestAGroupThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		first := b.call(t.Context(), 1, 1)
		<-b.began
		for says, end := range map[string]func(int) error{
			"panic: oh":                            func(int) error { panic("oh") },
			"the goroutine of the group was ended": func(int) error { runtime.Goexit(); return nil },
		} {
			one, two := b.call(t.Context(), 2, 2), b.call(t.Context(), 3, 3)
			b.pass <- ok
			want(t, "the group before", <-first, nil)
			want(t, "the group", <-b.began, []int{2, 3})
			first = b.call(t.Context(), 4, 4)
			b.pass <- end
			want(t, "one of the group", <-one, says)
			want(t, "another of the group", <-two, says)
			want(t, "the next group", <-b.began, []int{4})
		}
		b.pass <- ok
		want(t, "its answer", <-first, nil)
	})
}

// A group that takes longer than the patience of its lane's queue is set aside: other groups begin,
// without changes of the same keys.
func TestALaneGoesOnBesideAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		b.Patience, b.Aside = time.Second, 1
		slow := b.call(t.Context(), 1, 1)
		want(t, "the slow one", <-b.began, []int{1})
		time.Sleep(time.Hour) // no change queues: it need not hurry
		same, other := b.call(t.Context(), 1, 11), b.call(t.Context(), 2, 2)
		began := time.Now()
		want(t, "the next group", <-b.began, []int{2})
		want(t, "the patience", time.Since(began), time.Second)
		third := b.call(t.Context(), 3, 3)
		time.Sleep(time.Hour) // no more groups than one are set aside
		select {
		case group := <-b.began:
			t.Errorf("a second group was set aside for %v", group)
		default:
		}
		let := func() {
			for range b.began {
				b.pass <- ok
			}
		}
		go let()
		defer close(b.began)
		b.pass <- ok
		b.pass <- ok
		for _, answer := range []<-chan error{slow, same, other, third, b.call(t.Context(), 1, 12)} {
			want(t, "an answer", <-answer, nil)
		}
	})
}

// A change that its group has left out is carried out alone, and its lane does not wait for it.
func TestAChangeIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locked, release, began := 2, make(chan bool), make(chan []int, 10)
		lanes := groupcommit.New(1, 10, func(c int) int { return c }, func(_ context.Context, group []int) []error {
			began <- slices.Clone(group)
			errs := make([]error, len(group))
			for i, c := range group {
				switch {
				case c%10 != locked:
				case len(group) > 1:
					errs[i] = groupcommit.ErrAside
				default:
					<-release
				}
			}
			return errs
		})
		lanes.Patience, lanes.Aside = time.Second, 1
		call := func(c int) <-chan error {
			answer := make(chan error, 1)
			go func() { answer <- lanes.Do(t.Context(), int64(c%10), c) }()
			synctest.Wait()
			return answer
		}
		first := call(2)
		want(t, "alone, for as long as it takes", <-began, []int{2})
		second, third := call(3), call(12)
		want(t, "beside it", <-began, []int{3})
		want(t, "its answer", <-second, nil)
		release <- true
		want(t, "the answer to the first", <-first, nil)
		want(t, "the next of the same key", <-began, []int{12})
		fourth, fifth := call(4), call(22)
		want(t, "beside it", <-began, []int{4})
		release <- true
		want(t, "its answer", <-third, nil)
		want(t, "the next of the same key", <-began, []int{22})
		release <- true
		want(t, "its answer", <-fifth, nil)
		want(t, "its neighbour", <-fourth, nil)

		locked = 9
		slow := call(9)
		<-began
		locked = 2
		answers := []<-chan error{call(5), call(2), call(6)}
		release <- true
		want(t, "the one before", <-slow, nil)
		want(t, "the group", <-began, []int{5, 2, 6})
		want(t, "its first", <-answers[0], nil)
		want(t, "its last", <-answers[2], nil)
		want(t, "the one that was left out", <-began, []int{2})
		seventh := call(7)
		want(t, "the lane is idle", <-began, []int{7})
		want(t, "its answer", <-seventh, nil)
		release <- true
		want(t, "its answer", <-answers[1], nil)
	})
}

// A change queues for no longer than it may.
func TestAChangeQueuesForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		b.Queue = time.Second
		first := b.call(t.Context(), 1, 1)
		<-b.began
		began, second := time.Now(), b.call(t.Context(), 2, 2)
		want(t, "one that has queued for too long", <-second, groupcommit.ErrNotBegun)
		want(t, "the time", time.Since(began), time.Second)
		third := b.call(t.Context(), 3, 3)
		b.pass <- ok
		want(t, "the group without it", <-b.began, []int{3})
		time.Sleep(time.Hour)
		b.pass <- ok
		want(t, "the first", <-first, nil)
		want(t, "one that takes long, and did not queue for long", <-third, nil)
	})
}

// Every change is carried out exactly once, however many callers there are.
func TestEachIsCarriedOutOnce(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{}
	lanes := groupcommit.New(4, 8, func(c int) int { return c }, func(_ context.Context, group []int) []error {
		mu.Lock()
		defer mu.Unlock()
		errs := make([]error, len(group))
		for i, c := range group {
			seen[c]++
			errs[i] = fmt.Errorf("answer to %d", c)
		}
		return errs
	})
	const callers, each = 16, 200
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				c := caller*each + i
				if err := lanes.Do(t.Context(), int64(c%37), c); err.Error() != fmt.Sprintf("answer to %d", c) {
					t.Errorf("Do(%d) = %v", c, err)
				}
			}
		})
	}
	wg.Wait()
	for c := range callers * each {
		if seen[c] != 1 {
			t.Fatalf("change %d was carried out %d times, want once", c, seen[c])
		}
	}
}
