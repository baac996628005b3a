package executor_test

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/executor"
)

// An executor appends the output of a target. A page reads the end of it, and later the new part.
func ExampleLogs() {
	ctx := context.Background()
	var logs executor.Logs = executor.NewMemoryLogs(1<<20, 64<<20)
	out := executor.Log{Job: 1, Step: 1, Attempt: 1, Target: 0, Stream: executor.Stdout}

	_ = logs.Append(ctx, out, []byte("unpacking\ninstalling\n"))
	page, err := logs.Read(ctx, out, -11, 64<<10) // the last 11 bytes
	fmt.Printf("%q %v\n", page.Data, err)

	_ = logs.Append(ctx, out, []byte("done\n"))
	more, err := logs.Read(ctx, out, page.Offset+int64(len(page.Data)), 64<<10)
	fmt.Printf("%q %v, %d bytes in all\n", more.Data, err, more.Written)
	// Output:
	// "installing\n" <nil>
	// "done\n" <nil>, 26 bytes in all
}

// A script's streams are two logs.
func ExampleLogWriter() {
	logs := executor.NewMemoryLogs(0, 0)
	w := executor.NewLogWriter(logs, executor.Log{Job: 1, Step: 1, Attempt: 1, Stream: executor.Stderr})
	fmt.Fprintln(w, "mount: /data: unknown filesystem type")
	fmt.Println(w.LastLine()) // for the detail of a result
	// Output: mount: /data: unknown filesystem type
}
