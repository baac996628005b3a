package httpapi

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"

	"github.com/stepgate/stepgate/internal/strictjson"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// query reads a query that may hold the given parameters, each once.
func query(raw string, known []string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("query", "malformed")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return nil, invalid("query", fmt.Sprintf("unknown parameter %s; want one of %v", strictjson.Quote(name), known))
		}
		if len(values[name]) > 1 {
			return nil, invalid(name, "duplicate")
		}
	}
	return values, nil
}

// number reads a decimal number from 0 to 2^63 - 1, without a sign or leading zeros.
func number(field, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text || n < 0 {
		return 0, invalid(field, "must be a whole number below 2^63, in digits only")
	}
	return n, nil
}

// param returns a numeric parameter, 0 if it is absent.
func param[N ~int64](c *call, name string) (N, error) {
	if !c.query.Has(name) {
		return 0, nil
	}
	n, err := number(name, c.query.Get(name))
	return N(n), err
}

// param32 is param for numbers of 32 bits.
func param32(c *call, name string) (int32, error) {
	n, err := param[int64](c, name)
	if err == nil && n > math.MaxInt32 {
		err = invalid(name, "the maximum is 2^31 - 1")
	}
	return int32(n), err
}

// flag returns a boolean parameter, or otherwise if it is absent.
func (c *call) flag(name string, otherwise bool) (bool, error) {
	if !c.query.Has(name) {
		return otherwise, nil
	}
	switch c.query.Get(name) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid(name, "must be true or false")
}

// after returns the parameters after and limit of a page, 0 for an absent one.
func after[K ~int64](c *call) (after K, limit int, err error) {
	if after, err = param[K](c, "after"); err != nil {
		return 0, 0, err
	}
	n, err := param32(c, "limit")
	return after, int(n), err
}

// job returns the job in the path.
func (c *call) job() (store.JobID, error) {
	n, err := number("job", c.PathValue("job"))
	return store.JobID(n), err
}

// step returns the job and the step in the path.
func (c *call) step() (store.JobID, step.ID, error) {
	job, err := c.job()
	if err != nil {
		return 0, 0, err
	}
	n, err := number("step", c.PathValue("step"))
	return job, step.ID(n), err
}
