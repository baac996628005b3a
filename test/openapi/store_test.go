package openapi

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

var errDown = errors.New("the store is down")

// A restless store fails on demand, and its jobs move between any two reads.
type restless struct {
	*storetest.Faults
	moves atomic.Bool
	looks atomic.Int64 // while they move
}

func (r *restless) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := r.Faults.View(ctx, q)
	if r.moves.Load() {
		n := store.Seq(r.looks.Add(1))
		v.Job.Moved, v.Job.Version = v.Job.Moved+n, v.Job.Version+n
	}
	return v, err
}

// fails makes every call of a method fail, until Clear.
func (r *restless) fails(m storetest.Method, err error) {
	r.Add(storetest.Fault{Method: m, Forever: true, Err: err})
}

// waits makes the first call of some methods wait until open is closed; come is closed when it waits.
func (r *restless) waits(come chan<- struct{}, open <-chan struct{}, methods ...storetest.Method) {
	var waited atomic.Bool
	for _, m := range methods {
		r.Add(storetest.Fault{Method: m, Do: func() {
			if !waited.Swap(true) {
				close(come)
				<-open
			}
		}})
	}
}
