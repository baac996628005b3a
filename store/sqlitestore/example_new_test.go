package sqlitestore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// openBeside opens a store in a database that has tables of the program's own.
func openBeside(ctx context.Context, path string) (*sql.DB, *sqlitestore.Store, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	var st *sqlitestore.Store
	if err = sqlitestore.Migrate(ctx, db); err == nil {
		st, err = sqlitestore.New(ctx, db)
	}
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, st, nil // close the store before the database
}

// backUp copies the database to a new file, while others write.
func backUp(ctx context.Context, db *sql.DB, file string) error {
	_, err := db.ExecContext(ctx, `VACUUM INTO ?`, file)
	return err
}

// The tables of a program live in the same file, and are copied with it.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "stepgate-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, path, backup := context.Background(), filepath.Join(dir, "app.db"), filepath.Join(dir, "backup.db")

	db, st, err := openBeside(ctx, path)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	defer st.Close()

	eng := engine.New(st)
	created, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{{Type: step.Confirmation, Name: "approve"}}}, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	var name string
	err = db.QueryRowContext(ctx, `SELECT name FROM stepgate_jobs WHERE id = ?`, created.Job).Scan(&name)
	fmt.Println(name, err)

	fmt.Println("backup:", backUp(ctx, db, backup))
	_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{})
	fmt.Println("start:", err)

	restored, err := sqlitestore.Open(backup)
	if err != nil {
		log.Fatal(err)
	}
	defer restored.Close()
	job, err := engine.New(restored).Job(ctx, created.Job)
	fmt.Println("in the backup the job is", job.State, err)
	// Output:
	// release 1.4 <nil>
	// backup: <nil>
	// start: <nil>
	// in the backup the job is pending <nil>
}
