package pgstore

import (
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
)

// batchesOf selects the batches of a step s that have begun: the values of all columns, one batch after
// the other, by number. A step without batches costs no look-up.
var batchesOf = `CASE WHEN s.batch > 0 THEN (
	SELECT array_agg(ARRAY[` + schema.Batches.List(func(c schema.Column[store.Batch]) string { return "b." + c.Name + "::bigint" }) + `] ORDER BY b.number)
	FROM stepgate_batches b WHERE b.job = s.job AND b.step = s.id
) END`

// batchList reads batchesOf.
type batchList = pgtype.FlatArray[int64]

// unpacked returns the batches of a list.
func unpacked(list batchList) []store.Batch {
	if len(list) == 0 {
		return nil
	}
	all := make([]store.Batch, len(list)/len(schema.Batches))
	for i, n := range list {
		switch to := schema.Batches[i%len(schema.Batches)].Dest(&all[i/len(schema.Batches)]).(type) {
		case *int64:
			*to = n
		case *int32:
			*to = int32(n)
		case *uint8:
			*to = uint8(n)
		}
	}
	return all
}
