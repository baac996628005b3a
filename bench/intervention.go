package main

import (
	"context"

	_ "github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/riverqueue/river"
	_ "github.com/riverqueue/river/riverdriver/riverpgxv5"
	_ "github.com/stepgate/stepgate/store/pgstore"
	_ "github.com/stepgate/stepgate/store/sqlitestore"
	_ "modernc.org/sqlite"
)

func interventions(ctx context.Context, r *run) (section, error) { return section{}, nil }
