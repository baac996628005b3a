package pages

import "regexp"

// A Ran command is run by test/docs, as it is printed, in the root of a fresh copy of the
// repository.
type Ran struct {
	Command string
	Status  int      // exit status
	Prints  string   // regular expression that the output matches
	Serves  bool     // it goes on once it has printed that, and is then interrupted
	Replace []string // pairs: text of the command, and what stands in its place; $DSN is a PostgreSQL's
}

// RunHere are the commands of the pages that test/docs runs.
var RunHere = []Ran{
	{Command: "go run ./examples/quickstart", Prints: `localexec  all_succeeded  job succeeded`},
	{Command: "go run ./examples/console", Prints: `http://127\.0\.0\.1:8080`, Serves: true, Status: 1}, // go run ends so after an interrupt
	{Command: "go run ./examples/service", Prints: `serving http://127\.0\.0\.1:8080/v1/`, Serves: true, Status: 1},
	{Command: "go run ./examples/simulate scenario/testdata/*.txt", Prints: `(?s)01-.*18-`},
	{
		Command: "cd examples/cluster && go run . -dsn postgres://...",
		Prints:  `the proof holds`,
		Replace: []string{"postgres://...", "\"$DSN\" -jobs 40 -kills 4 -freezes 1"},
	},
	{Command: "go test ./scenario -update", Prints: `^ok`},
	{Command: "go test ./internal/repo -update", Prints: `^ok`},
	{Command: "go test -run '^$' -fuzz FuzzParse -fuzztime 10000x ./scenario", Prints: `execs: 100\d\d`}, // more than one worker ends with a few more
	{Command: "go test ./test/faults -timeout 0 -v -play -only '^replay-forgets-full'", Prints: `1 faults played, 0 not caught`},
}

// An Other command is run by something else than test/docs, or by hand.
type Other struct {
	Commands *regexp.Regexp // whole commands
	File     string         // that runs them, or "" for those that are run by hand
	Says     string         // a text of the file that runs them: no comment
	But      string         // how that differs from the printed command; by hand: why
}

// RunElsewhere are the commands of the pages that test/docs does not run.
var RunElsewhere = []Other{
	{all(`go test \./\.\.\.`), ".ci/run", "\ngo test ./...\n", ""},
	{all(`go test work`), ".ci/run", "\ngo test -count=1 -v $others ", "the root module's tests are run by go test ./..."},
	{all(`bash \.ci/run`), ".github/workflows/ci.yml", "- run: bash .ci/run\n", ""},
	{all(`bash \.ci/nightly (PART|mutants|faults)`), ".github/workflows/nightly.yml", "- run: bash .ci/nightly ${{ matrix.part }}\n", ""},
	{all(`scripts/release VERSION FOLDER`), "test/release/release_test.go", `"scripts/release", version, p.folder)`, ""},

	// Each name and folder is checked by internal/repo.
	{all(`(cd \S+ && )?go test( -v| -count=1| -run \S+)*( \./\S+)+`), ".ci/run", "\ngo test -count=1 -v $others ", "these tests are run with all others"},
	{all(`STEPGATE_WALK_STEPS=4 go test -run '\^TestWalk\$' -v \./engine/enginetest`), ".ci/run", "STEPGATE_WALK_STEPS=4 go test -run '^TestWalk$' -v ./engine/enginetest\n", ""},

	{all(`npm --prefix test/browser install --no-package-lock --no-audit --no-fund --ignore-scripts`), ".ci/tools", "\nnpm --prefix test/browser install --no-package-lock --no-audit --no-fund --ignore-scripts\n", ""},
	{all(`sh examples/service/tour\.sh http://127\.0\.0\.1:8080`), "examples/service/service_test.go", `exec.CommandContext(t.Context(), "sh", "tour.sh", url)`, "on a free port"},
	{all(`STEPGATE_URL=\S+ STEPGATE_TOKEN=worker-token python3 examples/worker/worker\.py`), "examples/service/service_test.go", `"python3", "../worker/worker.py")`, "on a free port"},

	{all(`mkdir first && cd first && go mod init example\.com/first`), "test/release/release_test.go", "for _, c := range readme.Commands() {", ""},
	{all(`go run \.`), "test/release/release_test.go", "for _, c := range readme.Commands() {", ""},
	{all(`git clone https://github\.com/stepgate/stepgate && cd stepgate`), "test/release/release_test.go", "for _, c := range readme.Commands() {", "from the local release"},
	{all(`go get( github\.com/stepgate/stepgate\S*)+`), "test/release/release_test.go", `p.env, "go", words[1:]...)`, ""},
	{all(`go run github\.com/stepgate/stepgate/examples/(quickstart|console|service)@latest`), "test/release/release_test.go", `"run", program + "@latest"}`, "with -addr, for a free port, if it serves"},

	{all(`go run \./bench`), "", "", "it takes half an hour; bench's test runs a short form of each part"},
	{all(`go test -run '\^\$' -bench \.( \./\S+)+`), "", "", "it measures for minutes; the gate runs each benchmark once"},
	{all(`go test -run TestPictures \./test/browser -update`), "", "", "pictures differ by the machine's fonts; the gate runs it without -update"},
}

func all(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) }

// Runner says what runs a command: "" for a command that nothing runs.
func (c Command) Runner() string {
	for _, r := range RunHere {
		if r.Command == c.Text {
			return "test/docs"
		}
	}
	for _, o := range RunElsewhere {
		switch {
		case !o.Commands.MatchString(c.Text):
		case o.File == "":
			return "by hand: " + o.But
		default:
			return o.File
		}
	}
	return ""
}
